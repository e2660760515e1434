/** The program `postern`. Exit codes: 0, 1 failed, 2 usage. */

// A sidecar is waited for; whoever asks for help has time.
if (process.argv[2] === 'proxy') await import('./proxy-main.ts');
else await import('./all-main.ts');
