/** Loaded into a proxy before anything else: at SIGUSR2 its clock jumps an hour ahead, at the next one back. */
const HOUR_MS = 3_600_000;
const realNow = Date.now;
let aheadMs = 0;

Date.now = () => realNow() + aheadMs;
process.on('SIGUSR2', () => {
  aheadMs = aheadMs === 0 ? HOUR_MS : 0;
});
