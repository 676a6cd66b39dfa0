import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Most state flags that a class may have. Fields that only together say something belong in one union. */
const LIMIT = 4;

/** Classes that may have more, as `file class`, each with the reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {};

const has = (member: ts.PropertyDeclaration, kind: ts.SyntaxKind): boolean => member.modifiers?.some((modifier) => modifier.kind === kind) === true;

/** True for a mutable private field that is a boolean, or that may be undefined. */
const isFlag = (member: ts.ClassElement): member is ts.PropertyDeclaration => {
  if (!ts.isPropertyDeclaration(member) || has(member, ts.SyntaxKind.ReadonlyKeyword) || has(member, ts.SyntaxKind.StaticKeyword)) return false;
  if (!ts.isPrivateIdentifier(member.name) && !has(member, ts.SyntaxKind.PrivateKeyword)) return false;
  const { type, initializer } = member;
  const types = type === undefined ? [] : ts.isUnionTypeNode(type) ? type.types : [type];
  return member.questionToken !== undefined
    || types.some(({ kind }) => kind === ts.SyntaxKind.BooleanKeyword || kind === ts.SyntaxKind.UndefinedKeyword)
    || initializer?.kind === ts.SyntaxKind.TrueKeyword || initializer?.kind === ts.SyntaxKind.FalseKeyword;
};

/** Returns the flags of each class in a source text. */
const flagsIn = (file: string, text: string): Map<string, string[]> => {
  const classes = new Map<string, string[]>();
  const visit = (node: ts.Node): void => {
    if (ts.isClassLike(node)) classes.set(`${file} ${node.name?.text ?? '(unnamed)'}`, node.members.filter(isFlag).map(({ name }) => name.getText()));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true));
  return classes;
};

t.test('flags are found, and nothing else is', (t) => {
  const text = `
    class A {
      #a = false; #b: boolean; private c?: number; #d: X | undefined; private e: undefined | X = undefined;
      readonly #f: boolean = true; g = false; #h: State = { kind: 'idle' }; static #i = false; readonly #j: X | undefined; #k = 0; #l(): boolean { return true; }
    }
    const made = class { #m = true; };
  `;
  t.strictSame([...flagsIn('a.ts', text)], [['a.ts A', ['#a', '#b', 'c', '#d', 'e']], ['a.ts (unnamed)', ['#m']]]);
  t.end();
});

t.test('no class keeps its state in many flags', (t) => {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).map((name) => `src/${name.replaceAll('\\', '/')}`);
  const classes = new Map(files.flatMap((file) => [...flagsIn(file, readFileSync(join(ROOT, file), 'utf8'))]));
  t.ok(classes.size > 100, `${String(classes.size)} classes`);
  const many = [...classes].filter(([, flags]) => flags.length > LIMIT);
  t.strictSame(many.filter(([name]) => EXCEPTIONS[name] === undefined).map(([name, flags]) => `${name}: ${flags.join(' ')}`), []);
  t.strictSame(Object.keys(EXCEPTIONS).filter((name) => !many.some(([found]) => found === name)), [], 'no exception is out of date');
  t.end();
});
