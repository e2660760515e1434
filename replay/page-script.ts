/** What runs in the page: shows one step more or less, by keys and buttons, or plays them as they happened. Touches no content. */
export const PAGE_SCRIPT = `
'use strict';
const steps = [...document.querySelectorAll('[data-at]')];
const position = document.getElementById('position');
const play = document.getElementById('play');
const speed = document.getElementById('speed');
let shown = 1;
let timer;
function show(count) {
  shown = Math.max(1, Math.min(steps.length, count));
  steps.forEach((step, index) => {
    step.hidden = index >= shown;
    step.classList.toggle('current', index === shown - 1);
  });
  position.textContent = shown + ' / ' + steps.length;
  const current = steps[shown - 1];
  if (current) current.scrollIntoView({ block: 'nearest' });
}
function stop() {
  clearTimeout(timer);
  timer = undefined;
  play.textContent = 'Play';
}
function next() {
  if (shown >= steps.length) return stop();
  const wait = Math.max(0, steps[shown].dataset.at - steps[shown - 1].dataset.at) / Number(speed.value);
  timer = setTimeout(() => { show(shown + 1); next(); }, Math.min(wait, 2147483647));
}
function toggle() {
  if (timer !== undefined) return stop();
  if (shown >= steps.length) show(1);
  play.textContent = 'Pause';
  next();
}
function step(count) { stop(); show(count); }
const actions = {
  first: () => step(1),
  previous: () => step(shown - 1),
  play: toggle,
  next: () => step(shown + 1),
  last: () => step(steps.length),
};
for (const [name, action] of Object.entries(actions)) document.getElementById(name).addEventListener('click', action);
const keys = { ArrowRight: 'next', ArrowDown: 'next', j: 'next', ArrowLeft: 'previous', ArrowUp: 'previous', k: 'previous', Home: 'first', End: 'last', ' ': 'play' };
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === 'SELECT') return;
  if (event.key === ' ' && event.target.tagName === 'BUTTON') return;
  const name = keys[event.key];
  if (name === undefined) return;
  event.preventDefault();
  actions[name]();
});
document.getElementById('controls').hidden = false;
show(1);
`;

export const PAGE_STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 0 auto; padding: 1rem 1rem 5rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; font: 14px/1.45 ui-monospace, monospace; }
section { border-left: .3rem solid #8888; padding: .3rem .8rem; margin: .6rem 0; }
section.current { background: #8882; }
.Allowed, .Approved { border-color: #2a9d55; } .Masked { border-color: #d39b00; } .Denied { border-color: #d0342c; } .ApprovalRequired { border-color: #8a4fd3; }
.verdict { font-weight: 600; } .at, dt { opacity: .75; } time { font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; margin: .3rem 0; } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 14px; } th, td { border: 1px solid #8886; padding: .1rem .5rem; text-align: left; white-space: pre-wrap; }
td.null { opacity: .6; font-style: italic; }
nav { position: fixed; inset: auto 0 0; background: Canvas; border-top: 1px solid #8888; padding: .5rem; text-align: center; } nav[hidden] { display: none; }
button, select { font: inherit; padding: .2rem .8rem; }
`;
