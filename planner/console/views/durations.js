// How long the last runs of a job took, over time.

import { BASE } from '../api.js';
import { useRoute } from '../router.js';
import { html, useEffect, useRef } from '../html.js';
import { lasted, plural, span } from '../words.js';

let loading = null;

// The library of charts is no module, and loaded by whoever shows one.
function library() {
  loading ||= new Promise((loaded, failed) => {
    const style = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: `${BASE}/console/vendor/uplot.css` });
    const script = Object.assign(document.createElement('script'), { src: `${BASE}/console/vendor/uplot.js` });
    script.onload = () => loaded(globalThis.uPlot);
    script.onerror = () => {
      loading = null;
      failed(new Error('the charts cannot be loaded'));
    };
    document.head.append(style, script);
  });
  return loading;
}

const HEIGHT = 140;

function options(width, style) {
  const [ink, line, accent] = ['--faint', '--line', '--accent'].map((name) => style[name]);
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (plot, low, high) => [0, high * 1.1 || 1] } },
    axes: [axis, { ...axis, size: 64, values: (plot, values) => values.map((value) => (value ? span(value) : '0')) }],
    series: [{}, { stroke: accent, width: 1.5, points: { show: true, size: 5, fill: accent } }],
  };
}

// What the page's style says, as the chart takes it.
function colours(element) {
  const probe = element.appendChild(document.createElement('span'));
  const of = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = Object.fromEntries(['--faint', '--line', '--accent'].map((name) => [name, of(name)]));
  probe.remove();
  return found;
}

export function Durations({ runs }) {
  const { query } = useRoute();
  const frame = useRef(null);
  const over = runs.filter((run) => run.opened_at && run.closed_at).reverse();
  const key = over.map((run) => run.run + run.closed_at).join();
  useEffect(() => {
    if (over.length < 2) return undefined;
    let plot = null;
    let gone = false;
    const data = [over.map((run) => Date.parse(run.opened_at) / 1_000), over.map((run) => lasted(run.opened_at, run.closed_at))];
    const draw = async () => {
      const Plot = await library().catch(() => null);
      if (gone || !Plot || !frame.current) return;
      plot?.destroy();
      plot = new Plot(options(frame.current.clientWidth, colours(frame.current)), data, frame.current);
    };
    const resize = new ResizeObserver(() => plot?.setSize({ width: frame.current.clientWidth, height: HEIGHT }));
    resize.observe(frame.current);
    addEventListener('gridloom-look', draw);
    draw();
    return () => {
      gone = true;
      resize.disconnect();
      removeEventListener('gridloom-look', draw);
      plot?.destroy();
    };
  }, [key, query.after]);
  if (over.length < 2) return null;
  const sorted = over.map((run) => lasted(run.opened_at, run.closed_at)).sort((a, b) => a - b);
  const words = `${plural(over.length, 'run')} took ${span(sorted[0])} to ${span(sorted[sorted.length - 1])}, half of them at most ${span(sorted[Math.floor((sorted.length - 1) / 2)])}`;
  return html`<figure class="chart"><figcaption class="small faint">${words}</figcaption><div ref=${frame} role="img" aria-label=${words}></div></figure>`;
}
