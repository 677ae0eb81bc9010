// How a command is written, what is written out, and which topic is asked for because of a path.
(async () => {
  const { command, deadOf, instant } = await import('/console/words.js');
  const { followed, topicOf } = await import('/console/stream.js');
  const { seen } = await import('/console/html.js');
  const cases = [
    [command(['job', 'pause', 'a'], [['--note', '-v'], ['--until', '']]), 'gridloom job pause a --note=-v'],
    [command(['job', 'pause', 'a'], [['--note', "it's"], ['--all', true]]), "gridloom job pause a --note 'it'\\''s' --all"],
    [instant('2026-02-31'), null],
    [instant('5'), null],
    [instant('2026-03-01'), new Date(2026, 2, 1).toISOString()],
    [instant('2026-03-01T02:00:00Z'), '2026-03-01T02:00:00.000Z'],
    [deadOf({ dead: 5, dead_probes: 1, given_up: 2 }), 4],
    [deadOf({ dead: 5 }), 5],
    [seen('a\u202eb\u001b[2J\tc\n\u009bé👩\u200d🚀'), 'a\\u{202e}b\\x1b[2J\tc\n\\u{9b}é👩\u200d🚀'],
    [topicOf('/runs/a_1/grid'), 'run:a_1'],
    [topicOf('/runs/a_1/grid?first_page=1'), null],
    [topicOf('/runs/a_1'), null],
    [followed('/runs/a_1'), 'run:a_1'],
    [followed('/runs/waiting'), null],
    [followed('/runs?state=running'), 'runs'],
    [followed('/planners'), 'planners'],
  ];
  return cases.find(([said, wanted]) => said !== wanted)?.join(' is not ') ?? 'alike';
})()
