#include "verify/grammar/stepper.h"

#include <algorithm>

namespace ft::grammar {
namespace {

constexpr uint64_t kHashStart = 0xCBF29CE484222325u;  // FNV-1a
constexpr uint64_t kHashFactor = 0x100000001B3u;
constexpr uint32_t kNoMaximum = UINT32_MAX;
constexpr uint32_t kPlenty = 256;  // characters, more than tokens have

// One more, as far as it matters.
uint32_t count_up(uint32_t count, uint32_t counted) {
  return std::min(count + 1, counted);
}

}  // namespace

void Stepper::put(const Configuration& configuration, Configurations& out) const {
  if (out.size() < kMaxConfigurations && std::find(out.begin(), out.end(), configuration) == out.end())
    out.push_back(configuration);
}

void Stepper::step(const Configuration& from, uint8_t byte, Configurations& out) {
  switch (from.phase) {
    case Phase::kValue:
      return begin_value(from.rule, from.frame, byte, out);
    case Phase::kText: {
      Configuration to = from;
      if (step_item(to, byte)) put(to, out);
      if (from.frame != kBottom && item_ends(from)) after(from.frame, byte, out);
      return;
    }
    case Phase::kLiteral:
    case Phase::kString: {
      const bool closed =
          from.phase == Phase::kString && byte == '"' && from.unit == CharClassifier::kBoundary;
      Configuration to = from;
      if (!closed && step_item(to, byte)) {
        if (from.hash != 0) {
          to.hash = (from.hash ^ byte) * kHashFactor;
          if (!item_alive(to)) return;
        }
        return put(to, out);
      }
      if ((from.phase == Phase::kString && !closed) || !item_ends(from)) return;
      FrameId frame = from.frame;
      if (from.hash != 0) {
        const auto behind = behind_item(from);
        if (!behind) return;
        frame = *behind;
      }
      // A literal ends where something else begins, a string with its quote.
      if (closed) return put({frame, Phase::kAfter, 0, 0, 0, 0, 0}, out);
      return after(frame, byte, out);
    }
    case Phase::kFirstItem: {
      const Frame frame = pool_[from.frame];
      if (byte == ']') {
        if (grammar_.arrays[frame.rule].min == 0) put({frame.parent, Phase::kAfter, 0, 0, 0, 0, 0}, out);
      } else if (grammar_.arrays[frame.rule].max > 0) {
        next_items(frame, items_);
        for (const NextItem& item : items_) begin_value(item.node, item.frame, byte, out);
      }
      return;
    }
    case Phase::kAfter:
      return after(from.frame, byte, out);
    case Phase::kSpace: {
      if (byte != ' ') return;
      const Frame frame = pool_[from.frame];
      if (frame.kind == FrameKind::kObject) return put({from.frame, Phase::kName, 0, 0, 0, 0, 0}, out);
      next_items(frame, items_);
      for (const NextItem& item : items_) put({item.frame, Phase::kValue, 0, item.node, 0, 0, 0}, out);
      return;
    }
    case Phase::kFirstName: {
      const Frame& frame = pool_[from.frame];
      const ObjectRule& rule = grammar_.objects[frame.rule];
      if (byte == '}' && may_close(frame, rule)) put({frame.parent, Phase::kAfter, 0, 0, 0, 0, 0}, out);
      if (byte == '"' && may_go_on(frame, rule)) begin_name(from.frame, out);
      return;
    }
    case Phase::kName:
      if (byte == '"') begin_name(from.frame, out);
      return;
    case Phase::kInName:
      return in_name(from, byte, out);
    case Phase::kColon:
      if (byte == ':') put({from.frame, Phase::kColonSpace, 0, from.rule, 0, 0, 0}, out);
      return;
    case Phase::kColonSpace:
      if (byte == ' ') put({from.frame, Phase::kValue, 0, from.rule, 0, 0, 0}, out);
      return;
    case Phase::kMarkup:
      return in_markup(from, byte, out);
  }
}

void Stepper::in_markup(const Configuration& from, uint8_t byte, Configurations& out) {
  Frame frame = pool_[from.frame];
  const MarkupRule& rule = grammar_.markups[frame.rule];
  const MarkupRule::State& state = rule.states[frame.index];
  const MarkupRule::Texts& texts = rule.texts[state.texts];
  const uint32_t node = texts.trie->child(from.length, byte);
  if (!texts.trie->leads_to(node, state.first, state.last)) return;
  const uint32_t text = texts.trie->member(node);
  if (text == NameTrie::kNoName) return put({from.frame, Phase::kMarkup, 0, 0, 0, node, 0}, out);
  const MarkupRule::Edge& edge = texts.edges[text];
  for (const uint32_t next : edge.next) {
    frame.index = next;
    const FrameId behind = pool_.intern(frame);
    if (edge.value != MarkupRule::kNoValue)
      put({behind, Phase::kValue, 0, edge.value, 0, 0, 0}, out);
    else if (rule.states[next].ends())
      put({frame.parent, Phase::kAfter, 0, 0, 0, 0, 0}, out);
    else
      put({behind, Phase::kMarkup, 0, 0, 0, NameTrie::kRoot, 0}, out);
  }
}

std::optional<uint8_t> Stepper::only_byte(const Configuration& from) {
  switch (from.phase) {
    case Phase::kSpace:
    case Phase::kColonSpace:
      return ' ';
    case Phase::kName:
      return '"';
    case Phase::kColon:
      return ':';
    case Phase::kInName:
      if (from.state == Automaton::kDead) {
        const Frame& frame = pool_[from.frame];
        const ObjectRule& rule = grammar_.objects[frame.rule];
        const Members next = next_members(frame, rule);
        return rule.names->only_next(from.length, next.first, next.last, '"');
      }
      break;
    case Phase::kMarkup: {
      const Frame& frame = pool_[from.frame];
      const MarkupRule& rule = grammar_.markups[frame.rule];
      const MarkupRule::State& state = rule.states[frame.index];
      return rule.texts[state.texts].trie->only_next(from.length, state.first, state.last, 0);
    }
    default:
      break;
  }
  std::optional<uint8_t> only;
  Configurations reached;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    step(from, static_cast<uint8_t>(byte), reached);
    if (reached.empty()) continue;
    if (only) return std::nullopt;
    only = static_cast<uint8_t>(byte);
    reached.clear();
  }
  return only;
}

void Stepper::begin_value(NodeId node_id, FrameId frame, uint8_t byte, Configurations& out) {
  const Node& node = grammar_.nodes[node_id];
  const bool unique =
      frame != kBottom && pool_[frame].kind == FrameKind::kArray && grammar_.arrays[pool_[frame].rule].unique;
  const auto put_item = [&](const Configuration& item) {
    if (!unique || item_alive(item)) put(item, out);
  };
  const uint64_t hash = unique ? (kHashStart ^ byte) * kHashFactor : 0;
  for (const uint32_t l : node.literals) {
    const LiteralRule& rule = grammar_.literals[l];
    const uint32_t next = rule.texts->next(rule.texts->start(), rule.class_of[byte]);
    if (next != Automaton::kDead) put_item({frame, Phase::kLiteral, 0, l, next, 0, hash});
  }
  if (byte == '"')
    for (const uint32_t s : node.strings)
      put_item({frame, Phase::kString, 0, s, grammar_.strings[s]->start().text.state, 0, hash});
  if (byte == '[')
    for (const uint32_t a : node.arrays)
      put({pool_.intern({frame, FrameKind::kArray, a, 0, 0, 0}), Phase::kFirstItem, 0, 0, 0, 0, 0}, out);
  if (byte == '{')
    for (const uint32_t o : node.objects)
      put({pool_.intern({frame, FrameKind::kObject, o, 0, 0, 0}), Phase::kFirstName, 0, 0, 0, 0, 0}, out);
  for (const uint32_t t : node.texts)
    step({frame, Phase::kText, 0, t, grammar_.strings[t]->start().text.state, 0, 0}, byte, out);
  for (const uint32_t m : node.markups) {
    const FrameId begun = pool_.intern({frame, FrameKind::kMarkup, m, 0, 0, 0});
    if (const NodeId first = grammar_.markups[m].begin; first != MarkupRule::kNoValue)
      begin_value(first, begun, byte, out);
    else
      after(begun, byte, out);
  }
}

bool Stepper::step_item(Configuration& item, uint8_t byte) const {
  if (item.phase == Phase::kLiteral) {
    const LiteralRule& rule = grammar_.literals[item.rule];
    const uint32_t next = rule.texts->next(item.state, rule.class_of[byte]);
    if (next != Automaton::kDead) item.state = next;
    return next != Automaton::kDead;
  }
  StringRule::Position position{{item.state, item.unit}, item.length};
  if (!grammar_.strings[item.rule]->step(position, byte)) return false;
  item.state = position.text.state;
  item.unit = static_cast<uint16_t>(position.text.unit);
  item.length = position.length;
  return true;
}

bool Stepper::item_ends(const Configuration& item) const {
  if (item.phase == Phase::kLiteral) return grammar_.literals[item.rule].texts->label(item.state) != 0;
  return grammar_.strings[item.rule]->accepts({{item.state, item.unit}, item.length});
}

std::optional<FrameId> Stepper::behind_item(const Configuration& item) {
  Frame frame = pool_[item.frame];
  if (pool_.has_name(frame.used, item.hash)) return std::nullopt;
  frame.used = pool_.with_name(frame.used, item.hash);
  return pool_.intern(frame);
}

bool Stepper::item_alive(const Configuration& item) const {
  const uint32_t used = pool_[item.frame].used;
  if (item.phase == Phase::kLiteral) {
    if (grammar_.literals[item.rule].texts->continuations(item.state) > pool_.name_count(used)) return true;
  } else {
    const StringRule& rule = *grammar_.strings[item.rule];
    // A character of any kind is over a million continuations, more than a reply has items.
    if (rule.free_characters({{item.state, item.unit}, item.length}) > 0) return true;
    if (!rule.has_maximum() && rule.language().automaton().longest(item.state) == Automaton::kUnbounded)
      return true;
  }
  // Few continuations are left: the first that was not used settles it, and at most as many are tried as were used.
  if (item_ends(item) && !pool_.has_name(used, item.hash)) return true;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    Configuration next = item;
    next.hash = (item.hash ^ byte) * kHashFactor;
    if (step_item(next, static_cast<uint8_t>(byte)) && item_alive(next)) return true;
  }
  return false;
}

void Stepper::next_items(const Frame& before, std::vector<NextItem>& items) {
  items.clear();
  Frame frame = before;
  const ArrayRule& rule = grammar_.arrays[frame.rule];
  const NodeId item = rule.item(frame.index);
  const bool last = rule.max != kNoMaximum && frame.index + 1 >= rule.max;
  frame.index = count_up(frame.index, rule.counted());
  const bool missing = rule.contains() && frame.count == 0;
  if (!missing || !last) items.push_back({item, pool_.intern(frame)});
  if (!missing) return;
  frame.count = 1;
  items.push_back({rule.contained, pool_.intern(frame)});
}

void Stepper::after(FrameId id, uint8_t byte, Configurations& out) {
  if (id == kBottom) return;
  const Frame& frame = pool_[id];
  if (frame.kind == FrameKind::kMarkup)
    return in_markup({id, Phase::kMarkup, 0, 0, 0, NameTrie::kRoot, 0}, byte, out);
  bool go_on = false;
  bool close = false;
  if (frame.kind == FrameKind::kObject) {
    const ObjectRule& rule = grammar_.objects[frame.rule];
    go_on = byte == ',' && may_go_on(frame, rule);
    close = byte == '}' && may_close(frame, rule);
  } else {
    const ArrayRule& rule = grammar_.arrays[frame.rule];
    go_on = byte == ',' && (rule.max == kNoMaximum || frame.index < rule.max);
    close = byte == ']' && frame.index >= rule.min && (!rule.contains() || frame.count == 1);
  }
  if (go_on) put({id, Phase::kSpace, 0, 0, 0, 0, 0}, out);
  if (close) put({frame.parent, Phase::kAfter, 0, 0, 0, 0, 0}, out);
}

Stepper::Members Stepper::next_members(const Frame& frame, const ObjectRule& rule) const {
  const auto count = static_cast<uint32_t>(rule.members.size());
  if (frame.index >= count) return {};
  Members next{frame.index, std::min(rule.next_required[frame.index], count - 1)};
  const uint32_t required = rule.required_from[frame.index];
  if (rule.max != kNoMaximum && frame.count + 1 + required > rule.max) {  // room for required ones only
    if (required == 0) return {};
    next.first = next.last;
  }
  if (rule.extra_capacity != kNoMaximum) {  // those behind it must be able to make up the minimum
    const uint64_t reachable = uint64_t{frame.count} + count + rule.extra_capacity;
    if (reachable < rule.min) return {};
    next.last = static_cast<uint32_t>(std::min<uint64_t>(next.last, reachable - rule.min));
  }
  return next;
}

bool Stepper::extras_open(const Frame& frame, const ObjectRule& rule) const {
  if (rule.extras == nullptr || rule.required_from[frame.index] > 0) return false;
  if (rule.max != kNoMaximum && frame.count >= rule.max) return false;
  if (rule.extra_capacity == kNoMaximum) return true;
  const uint32_t left = rule.extra_capacity - std::min(rule.extra_capacity, pool_.name_count(frame.used));
  return left > 0 && uint64_t{frame.count} + left >= rule.min;
}

bool Stepper::may_close(const Frame& frame, const ObjectRule& rule) const {
  return rule.required_from[frame.index] == 0 && frame.count >= rule.min;
}

void Stepper::begin_name(FrameId id, Configurations& out) {
  const Frame& frame = pool_[id];
  const ObjectRule& rule = grammar_.objects[frame.rule];
  const uint32_t extras = extras_open(frame, rule) ? rule.extras->automaton().start() : Automaton::kDead;
  put({id, Phase::kInName, 0, 0, extras, NameTrie::kRoot, kHashStart}, out);
}

void Stepper::in_name(const Configuration& from, uint8_t byte, Configurations& out) {
  if (byte == '"' && from.unit == CharClassifier::kBoundary) return end_name(from, out);
  const Frame& frame = pool_[from.frame];
  const ObjectRule& rule = grammar_.objects[frame.rule];
  Configuration to = from;
  to.hash = (from.hash ^ byte) * kHashFactor;
  to.length = rule.names->child(from.length, byte);
  if (from.state != Automaton::kDead && !(step_extra(to, rule, byte) && extra_alive(to, frame, rule)))
    to.state = Automaton::kDead;
  if (to.state == Automaton::kDead) {
    const Members next = next_members(frame, rule);
    if (!rule.names->leads_to(to.length, next.first, next.last)) return;
    // The trie alone knows where a character ends then.
    to.unit = byte == '\\' && from.unit == CharClassifier::kBoundary ? 1 : 0;
    to.hash = 0;
  }
  put(to, out);
}

bool Stepper::step_extra(Configuration& name, const ObjectRule& rule, uint8_t byte) const {
  TextLanguage::Position position{name.state, name.unit};
  if (!rule.extras->step(position, byte)) return false;
  name.state = position.state;
  name.unit = static_cast<uint16_t>(position.unit);
  return true;
}

void Stepper::end_name(const Configuration& from, Configurations& out) {
  Frame frame = pool_[from.frame];
  const ObjectRule& rule = grammar_.objects[frame.rule];
  const uint32_t member =
      from.length == NameTrie::kNone ? NameTrie::kNoName : rule.names->member(from.length);
  NodeId value = 0;
  if (member == NameTrie::kNoName) {
    if (from.state == Automaton::kDead || !extra_ends(from, frame, rule)) return;
    value = rule.extra_values[rule.extras->automaton().label(from.state) - 1];
    frame.index = static_cast<uint32_t>(rule.members.size());
    frame.used = pool_.with_name(frame.used, from.hash);
  } else {
    const Members next = next_members(frame, rule);
    if (member == NameTrie::kForbidden || member < next.first || member > next.last) return;
    value = rule.members[member].value;
    frame.index = member + 1;
  }
  frame.count = count_up(frame.count, rule.counted());
  put({pool_.intern(frame), Phase::kColon, 0, value, 0, 0, 0}, out);
}

bool Stepper::extra_ends(const Configuration& name, const Frame& frame, const ObjectRule& rule) const {
  return name.unit == CharClassifier::kBoundary && rule.extras->automaton().label(name.state) != 0 &&
         (name.length == NameTrie::kNone || rule.names->member(name.length) == NameTrie::kNoName) &&
         !pool_.has_name(frame.used, name.hash);
}

bool Stepper::extra_alive(const Configuration& from, const Frame& frame, const ObjectRule& rule) const {
  if (rule.extras->automaton().longest(from.state) == Automaton::kUnbounded) return true;
  if (rule.extra_capacity != kNoMaximum || from.unit == CharClassifier::kBoundary) {
    const uint64_t others = uint64_t{rule.names->name_count()} + pool_.name_count(frame.used);
    if (from.unit == CharClassifier::kBoundary && rule.extras->automaton().continuations(from.state) > others)
      return true;
  }
  // Few names are left, or a character is not ended: the first that is free settles it. Names that are not
  // free are at most those that the rule names and those that were used.
  if (extra_ends(from, frame, rule)) return true;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    Configuration next = from;
    next.hash = (from.hash ^ byte) * kHashFactor;
    next.length = rule.names->child(from.length, static_cast<uint8_t>(byte));
    if (step_extra(next, rule, static_cast<uint8_t>(byte)) && extra_alive(next, frame, rule)) return true;
  }
  return false;
}

bool Stepper::complete(const Configuration& configuration) const {
  if (configuration.frame != kBottom) return false;
  if (configuration.phase == Phase::kAfter) return true;
  if (configuration.phase == Phase::kLiteral || configuration.phase == Phase::kText)
    return item_ends(configuration);
  if (configuration.phase == Phase::kValue)  // an empty text without quotes
    for (const uint32_t t : grammar_.nodes[configuration.rule].texts)
      if (grammar_.strings[t]->accepts(grammar_.strings[t]->start())) return true;
  return false;
}

uint32_t Stepper::free_characters(const Configuration& configuration) const {
  if (configuration.phase == Phase::kString) {
    const StringRule& rule = *grammar_.strings[configuration.rule];
    const uint32_t free =
        rule.free_characters({{configuration.state, configuration.unit}, configuration.length});
    // An item that must differ needs a character more to do so.
    if (configuration.hash != 0 && rule.has_maximum()) return free > kPlenty ? free - 1 : 0;
    return free;
  }
  if (configuration.phase == Phase::kInName && configuration.state != Automaton::kDead &&
      configuration.unit == CharClassifier::kBoundary) {
    const ObjectRule& rule = grammar_.objects[pool_[configuration.frame].rule];
    if (rule.extras->automaton().universal(configuration.state)) return kNoMaximum;
  }
  return 0;
}

CharKinds Stepper::free_kinds(const Configuration& configuration, uint32_t characters) const {
  // Within a maximum the last continuation may be one that was used.
  if (configuration.phase == Phase::kString && configuration.hash != 0 &&
      grammar_.strings[configuration.rule]->has_maximum())
    return 0;
  if (configuration.phase == Phase::kString || configuration.phase == Phase::kText) {
    const CharKinds kinds = grammar_.strings[configuration.rule]->free_kinds(
        {{configuration.state, configuration.unit}, configuration.length}, characters);
    // Without quotes a backslash is a character of its own, and what follows it is another.
    return configuration.phase == Phase::kString ? kinds : kinds & ~kind_of('\\');
  }
  if (configuration.phase != Phase::kInName || configuration.state == Automaton::kDead ||
      configuration.unit != CharClassifier::kBoundary)
    return 0;
  const ObjectRule& rule = grammar_.objects[pool_[configuration.frame].rule];
  const TextLanguage& extras = *rule.extras;
  // Without an end of the language there is always a name that is not used yet.
  return extras.automaton().longest(configuration.state) == Automaton::kUnbounded
             ? extras.looping_kinds(configuration.state)
             : 0;
}

}  // namespace ft::grammar
