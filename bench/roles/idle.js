import { serve } from './serve.js';

// A Node that does nothing.
serve({ start: () => undefined });
