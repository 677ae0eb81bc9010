// How a command is written, and which topic is asked for because of a path.
(async () => {
  const { command } = await import('/console/words.js');
  const { followed, topicOf } = await import('/console/stream.js');
  const cases = [
    [command(['job', 'pause', 'a'], [['--note', '-v'], ['--until', '']]), 'gridloom job pause a --note=-v'],
    [command(['job', 'pause', 'a'], [['--note', "it's"], ['--all', true]]), "gridloom job pause a --note 'it'\\''s' --all"],
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
