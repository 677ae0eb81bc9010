// How a command is written, what is written out, and which topic is asked for because of a path.
(async () => {
  const { command, count, deadOf, instant } = await import('/console/words.js');
  const { followed, topicOf } = await import('/console/stream.js');
  const { seen } = await import('/console/html.js');
  const { read, write, Written } = await import('/console/json.js');
  const HUGE = '{"a":18446744073709551615,"b":["12345678901234567890",-9007199254740993],"9007199254740993":0.5}';
  const WRITTEN = '{"a":2.0,"b":1.10,"c":1e0,"text":"2.0 \\\\\\" 9007199254740993","d":[true,null]}';
  const cases = [
    [command(['job', 'pause', 'a'], [['--note', '-v'], ['--until', '']]), 'gridloom job pause a --note=-v'],
    [command(['job', 'pause', 'a'], [['--note', "it's"], ['--all', true]]), "gridloom job pause a --note 'it'\\''s' --all"],
    [command(['dead', 'list'], [['--error-like', "a\u0003\nit's \\b"]]), "gridloom dead list --error-like $'a\\u0003\\u000ait\\'s \\\\b'"],
    [command(['dead', 'list'], [['--error-like', 'a\0']]), null],
    [instant('2026-02-31'), null],
    [instant('5'), null],
    [instant('2026-03-01'), new Date(2026, 2, 1).toISOString()],
    [instant('2026-03-01T02:00:00Z'), '2026-03-01T02:00:00.000Z'],
    [deadOf({ dead: 5, dead_probes: 1, given_up: 2 }), 4],
    [deadOf({ dead: 5 }), 5],
    [seen('a\u202eb\u001b[2J\tc\n\u009bé👩\u200d🚀'), 'a\\u{202e}b\\x1b[2J\tc\n\\u{9b}é👩\u200d🚀'],
    [seen('a\u{e0041}'), 'a\\u{e0041}'],
    [write(read(HUGE)), HUGE],
    [write(read(WRITTEN, { every: true })), WRITTEN],
    [write(read(WRITTEN)), '{"a":2,"b":1.1,"c":1,"text":"2.0 \\\\\\" 9007199254740993","d":[true,null]}'],
    [read(HUGE).b[1] + 1, -9007199254740991],
    [count(read(HUGE).a), '18,446,744,073,709,551,615'],
    [write({ params: new Written('{"a": 1e400}') }), '{"params":{"a": 1e400}}'],
    [write(undefined), undefined],
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
