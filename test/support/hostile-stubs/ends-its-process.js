/** The one way to have the process end that is left to a stub: an exception that nothing of it stands behind. */
export default function activate() {
  setTimeout(() => {
    const target = new EventTarget();
    target.addEventListener('x', () => { throw new Error('out of a listener'); });
    target.dispatchEvent(new Event('x'));
  }, 10);
  return { name: 'ends-its-process', instance: {} };
}
