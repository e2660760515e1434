import type { Socket } from 'node:net';

/** Below this, joining costs less than handing the kernel several pieces. */
const JOIN_BELOW_BYTES = 16 * 1024;

/** Writes all pieces with one system call where the socket allows. */
export function writeAll(socket: Socket, segments: readonly Buffer[]): void {
  const [only] = segments;
  if (only === undefined || socket.destroyed || socket.writableEnded) return;
  if (segments.length === 1) {
    socket.write(only);
    return;
  }
  let total = 0;
  for (const segment of segments) total += segment.length;
  if (total < JOIN_BELOW_BYTES) {
    socket.write(Buffer.concat(segments, total));
    return;
  }
  socket.cork();
  for (const segment of segments) socket.write(segment);
  socket.uncork();
}
