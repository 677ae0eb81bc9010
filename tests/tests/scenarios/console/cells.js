// Changed cells, put into a grid that is told in runs, against the same done cell by cell; and what is looked up in it.
(async () => {
  const { applied } = await import('/console/gridcells.js');
  const { decode, rankAt, ranks, RANKS } = await import('/console/gridmodel.js');
  const states = ['not_issued', 'issued', 'retrying', 'done', 'dead', 'given_up', 'cancelled'];
  let seed = 1;
  const any = (most) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return seed % most;
  };
  const runs = (number) => Array.from({ length: number }, () => [any(7), 1 + any(5)]).flat();
  const cells = (of) => Array.from({ length: of.length / 2 }, (_, at) => Array(of[2 * at + 1]).fill(of[2 * at])).flat();
  const told = (rows) => rows.flatMap((row) => Array(row.slices).fill(cells(row.runs)));

  for (let round = 0; round < 500; round += 1) {
    const slices = 1 + any(6);
    const rows = [];
    for (let first = 0; first < slices; first += rows[rows.length - 1].slices) {
      rows.push({ first, slices: 1 + any(slices - first), runs: runs(any(4)) });
    }
    const grid = { slices, pages: 20, all_known: true, slices_a_block: 1, pages_a_block: 1, states, rows };
    const change = { first: any(slices), page: any(8), runs: runs(1 + any(3)) };
    change.slices = 1 + any(slices - change.first);
    const inside = cells(change.runs);
    change.pages = change.page + inside.length + any(6);
    const wanted = told(rows).map((row, slice) => {
      if (slice < change.first || slice >= change.first + change.slices) return row;
      const place = (page) => inside[page - change.page] ?? row[page] ?? 0;
      return Array.from({ length: change.pages }, (_, page) => place(page));
    });
    const next = applied(grid, { slices, pages: 30, all_known: true, rows: [change] });
    if (JSON.stringify(told(next.rows)) !== JSON.stringify(wanted)) return `round ${round}: other cells`;
    const model = decode(next);
    const shown = ranks(model, { slice: 0, page: 0, width: 4, height: 4 }, 120, 4 * slices, new Uint8Array(480 * slices));
    for (let slice = 0; slice < slices; slice += 1) {
      for (let page = 0; page < 30; page += 1) {
        const rank = RANKS.indexOf(states[wanted[slice][page]]) + 1;
        if (rankAt(model, slice, page) !== rank) return `round ${round}: ${slice}/${page} is found otherwise`;
        if (shown[(4 * slice + 1) * 120 + 4 * page + 1] !== rank) return `round ${round}: ${slice}/${page} is painted otherwise`;
      }
    }
  }
  return 'alike';
})()
