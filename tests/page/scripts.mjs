// Replies that a test can ask for by name.
import { sleep } from './scripted_server.mjs';

export const MARKDOWN = `Speculative decoding drafts several tokens and lets the target verify them **in one step**.

## How much it gains

If a draft of depth $k$ is accepted with probability $p_i$ at each depth, a step gives

$$ E = 1 + \\sum_{i=1}^{k} \\prod_{j=1}^{i} p_j $$

tokens on average. For example:

| depth | accepted | tokens a step |
|------:|:--------:|--------------:|
| 1 | 92 % | 1.92 |
| 3 | 71 % | 3.40 |
| 5 | 58 % | 4.45 |

\`\`\`python
def expected_tokens(acceptance):
    """Tokens of a step when depth i stands with acceptance[i]."""
    expected, path = 1.0, 1.0
    for probability in acceptance:
        path *= probability
        expected += path
    return expected
\`\`\`

1. Draft with a small model,
2. verify **all** of it at once,
3. keep what the target would have said anyway.

> The text is the same with and without it; only the time differs. It costs $5 to $10 less.
`;

export const HOSTILE = `<script>window.hacked = 1</script>
<img src=x onerror="window.hacked = 2">
<svg onload="window.hacked = 3"><a xlink:href="javascript:window.hacked=4">x</a></svg>
<iframe src="https://evil.example/"></iframe>
<style>* { display: none !important }</style>
<form action="https://evil.example/"><input name=q><button>go</button></form>
<math><mtext><table><mglyph><style><img src=x onerror="window.hacked = 5"></style></mglyph></table></mtext></math>

![tracker](https://evil.example/pixel.png "t")
[click](javascript:window.hacked=6) [data](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==) [ok](https://example.com/ "title")
[ref]: javascript:window.hacked=7

\`\`\`html"onmouseover="window.hacked=8
</code></pre><script>window.hacked = 9</script>
\`\`\`

$\\href{javascript:window.hacked=10}{x}$ $\\style{position:fixed;top:0}{y}$ $$\\htmlData{onclick=1}{z}$$ $\\unknown{$

<a id="app" name="message">clobber</a> <div id="search">clobber</div>
`;

// A text of many kinds of blocks, about `tokens` tokens long.
export function longText(tokens) {
  const paragraph = 'The quick brown fox drafts a token and the lazy dog verifies it before the fence is reached. ';
  const parts = [];
  let length = 0;
  for (let i = 0; length < tokens; ++i) {
    const part = [
      `### Part ${i}\n\n${paragraph.repeat(3)}\n\n`,
      `* first **point**\n* second \`point\` with $x_${i}^2$\n* third point\n\n`,
      `\`\`\`cpp\nint f${i}(int x) {\n  return x * ${i} + 1; // as it should be\n}\n\`\`\`\n\n`,
      `| a | b |\n|---|---|\n| ${i} | ${i * i} |\n\n`,
      `${paragraph.repeat(6)}\n\n`,
    ][i % 5];
    parts.push(part);
    length += part.length / 4.2;
  }
  return parts.join('');
}

const calls = [
  { index: 0, id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '' } },
  { index: 0, function: { arguments: '{"city":' } },
  { index: 0, function: { arguments: ' "Rome"}' } },
  { index: 1, id: 'call_2', type: 'function', function: { name: 'get_time', arguments: '{"zone": "CET"}' } },
];

export const scripts = {
  async say(writer, text) {
    await writer.say(text);
    writer.end();
  },
  async markdown(writer) {
    await writer.say('The user asks how much speculation gains. A formula, a table and some code will do.', { reasoning: true });
    await writer.say(MARKDOWN, { firstStep: 60 });
    writer.end();
  },
  async hostile(writer) {
    await writer.say(HOSTILE, { pause: 1 });
    writer.end();
  },
  // One block that never ends, or nests without end.
  async huge(writer, kind) {
    const text = { word: 'a'.repeat(400_000), quotes: '>'.repeat(20_000), stars: '*a '.repeat(30_000), brackets: '['.repeat(20_000) }[kind];
    writer.choice({ delta: { content: text } });
    writer.end();
  },
  async long(writer, argument) {
    const [tokens, pause] = argument.split(' ').map(Number);
    const text = longText(tokens);
    let sent = 0;
    const begun = Date.now();
    const { stepsOf } = await import('./scripted_server.mjs');
    for (const members of stepsOf(text)) {
      if (writer.closed) return;
      writer.choice(members);
      sent += members.speculation.tokens.length;
      const due = begun + sent * pause;
      if (due - Date.now() > 4) await sleep(due - Date.now());
    }
    writer.end('stop', { completion: sent });
  },
  async tools(writer, _, asked) {
    if (asked.messages.at(-1).role === 'tool') {
      const results = asked.messages.filter((message) => message.role === 'tool').map((message) => message.content);
      await writer.say(`The tools said: ${results.join(' and ')}.`);
      return writer.end();
    }
    await writer.say('I look it up.');
    for (const call of calls) writer.choice({ delta: { tool_calls: [call] } });
    writer.end('tool_calls');
  },
  async error(writer) {
    await writer.say('This begins well');
    writer.event({ error: { message: 'the engine stumbled', type: 'server_error' } });
    writer.event('[DONE]');
    writer.response.end();
  },
  async drop(writer, _, asked) {
    const last = asked.messages.at(-1);
    if (last.role === 'assistant') {
      await writer.say(' and is continued.');
      return writer.end();
    }
    await writer.say('This is cut');
    await sleep(100);
    writer.drop();
  },
  async busy(writer, _, asked, state) {
    const before = state.requests.filter((request) => JSON.stringify(request.messages) === JSON.stringify(asked.messages));
    if (before.length === 1) return writer.refuse(429, 'the queue is full: 64 requests wait', { 'Retry-After': '1' });
    await writer.say('Now there was room.');
    writer.end();
  },
  async queue(writer, _, __, state) {
    state.waiting = 3;
    for (let i = 0; i < 26 && !writer.closed; ++i) await sleep(100);
    state.waiting = null;
    await writer.say('At last.');
    writer.end();
  },
  async length(writer, _, asked) {
    const more = asked.messages.at(-1).role === 'assistant';
    await writer.say(more ? ' two three' : 'one');
    writer.end(more ? 'stop' : 'length');
  },
  async context(writer) {
    await writer.say('Nearly full.');
    writer.end('stop', { completion: 100, prompt: 7800 });
  },
  async slow(writer, text) {
    await writer.say(text || 'one two three four five six seven eight nine ten '.repeat(40), { pause: 25 });
    writer.end();
  },
};
