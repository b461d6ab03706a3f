// The tree of one step: what was kept and what fell away.
import { hierarchy, tree } from 'd3-hierarchy';
import type { DraftNode, Message, Trace } from '../data/types';
import { percent, visible } from './format';
import { sourceWords } from './tooltip';

interface Place {
  text: string;
  kind: 'anchor' | 'accepted' | 'rejected' | 'own';
  node?: DraftNode;
  children: Place[];
}

const COLUMN = 82;
const ROW = 38;
const BOX = { width: 74, height: 23 };

// The token before the step, its drafts, and the target's own token at the end of what was kept.
function placesOf(trace: Trace, step: number): Place {
  const before = trace.tokens.findLastIndex((token) => token.step < step);
  const root: Place = { text: trace.tokens[before]?.text ?? 'prompt', kind: 'anchor', children: [] };
  const nodes = trace.steps[step]!.tree;
  const places = nodes.map(
    (node): Place => ({ text: node.token, kind: node.accepted ? 'accepted' : 'rejected', node, children: [] }),
  );
  nodes.forEach((node, i) => (places[node.parent] ?? root).children.push(places[i]!));
  const own = trace.tokens.find((token) => token.step === step && token.depth === 0);
  if (own) {
    const end = nodes.findLastIndex((node) => node.accepted);
    (places[end] ?? root).children.push({ text: own.text, kind: 'own', children: [] });
  }
  return root;
}

function short(text: string): string {
  const shown = visible(text);
  return shown.length > 9 ? `${shown.slice(0, 8)}…` : shown;
}

function words(place: Place): string {
  if (place.kind === 'anchor') return `after ${visible(place.text)}`;
  if (place.kind === 'own') return `${visible(place.text)}: the target's own choice`;
  const { node } = place;
  const fate = place.kind === 'accepted' ? 'kept' : 'fell away';
  return `${visible(place.text)}: ${fate}; by ${sourceWords(node!)} at depth ${node!.depth}, estimated ${percent(node!.probability)}`;
}

export function StepTree({ trace, place, message }: { trace: Trace; place: number; message: Message }) {
  const layout = tree<Place>().nodeSize([COLUMN, ROW]).separation(() => 1)(hierarchy(placesOf(trace, place)));
  const nodes = layout.descendants();
  const left = Math.min(...nodes.map((node) => node.x)) - COLUMN / 2;
  const right = Math.max(...nodes.map((node) => node.x)) + COLUMN / 2;
  const height = layout.height * ROW + BOX.height + 4;
  return (
    <div class="tree" tabIndex={0} role="region" aria-label={`Tree of step ${place}`} data-message={message.id}>
      <svg width={right - left} height={height} viewBox={`${left} -2 ${right - left} ${height}`} role="img" aria-label={nodes.map((node) => words(node.data)).join('. ')}>
        {layout.links().map((link, i) => {
          const { source, target } = link;
          const from = source.y + BOX.height;
          const middle = (from + target.y) / 2;
          return (
            <path
              key={i}
              class={`edge ${target.data.kind}`}
              d={`M${source.x} ${from}C${source.x} ${middle} ${target.x} ${middle} ${target.x} ${target.y}`}
            />
          );
        })}
        {nodes.map((node, i) => (
          <g key={i} class={`node ${node.data.kind} ${node.data.node?.source ?? ''}`} transform={`translate(${node.x - BOX.width / 2} ${node.y})`}>
            <title>{words(node.data)}</title>
            <rect width={BOX.width} height={BOX.height} rx="6" />
            <text x={BOX.width / 2} y={BOX.height / 2}>
              {short(node.data.text)}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}
