// The shards of a run one by one: the grid in words, and filtered.

import { query, segment } from '../api.js';
import { useLive } from '../live.js';
import { Ago, Filter, Loaded, Nothing, Pager, Panel, Table } from '../parts.js';
import { Link, useRoute } from '../router.js';
import { SHARD_STATES, State } from '../states.js';
import { html } from '../html.js';
import { count, plain } from '../words.js';

export function Shards({ run }) {
  const { query: said } = useRoute();
  const { state, slice, first_page, last_page, worker, error, after } = said;
  const live = useLive(`/runs/${segment(run)}/shards${query({ state, slice, first_page, last_page, worker, error, after, limit: 100 })}`);
  return html`<${Panel}>
    <div class="filters">
      <${Filter} name="state" label="State" options=${SHARD_STATES.map((each) => [each, plain(each)])} />
      <${Filter} name="slice" label="Slice" type="number" />
      <${Filter} name="first_page" label="From page" type="number" />
      <${Filter} name="last_page" label="To page" type="number" />
      <${Filter} name="worker" label="Worker" hint="name or session" />
      <${Filter} name="error" label="Error holds" />
    </div>
    <${Loaded} live=${live}>${({ items }) => (items.length === 0 ? html`<${Nothing} filtered like="No shard is like that." />` : html`<${Table} label="Shards" items=${items}
        id=${(shard) => `${shard.slice}/${shard.page}`} columns=${[
          ['State', (shard) => html`<${State} state=${shard.state} />`],
          ['Shard', (shard) => html`<${Link} to=${`/runs/${run}/shards/${shard.slice}/${shard.page}`}>${shard.slice}/${shard.page}<//>`],
          ['Failed', (shard) => (shard.failed ? count(shard.failed) : ''), 'number'],
          ['Next attempt', (shard) => (shard.retry_due ? html`<${Ago} at=${shard.retry_due} />` : '')],
          ['Last error', (shard) => shard.error && html`<pre class="error">${shard.error}</pre>`, 'grow'],
        ]} />`)}<//>
    <${Pager} live=${live} />
  <//>`;
}
