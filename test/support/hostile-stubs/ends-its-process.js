/** Ends its process in the only way left to a stub: an exception from a listener, with none of the stub's frames on the stack. */
export default function activate() {
  setTimeout(() => {
    const target = new EventTarget();
    target.addEventListener('x', () => { throw new Error('out of a listener'); });
    target.dispatchEvent(new Event('x'));
  }, 10);
  return { name: 'ends-its-process', instance: {} };
}
