await new Promise(() => undefined);
export default () => ({ name: 'never-ready', instance: {} });
