/** A static import: the bundler gives a CommonJS library no names when it is imported on demand. */
export { destination, pino } from 'pino';
