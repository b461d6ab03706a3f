#include "verify/grammar/automaton.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace ft::grammar {
namespace {

constexpr uint32_t saturate(uint64_t count) {
  return static_cast<uint32_t>(std::min<uint64_t>(count, UINT32_MAX));
}

}  // namespace

Automaton::Automaton() : partition_{{0}, {0}, 1}, table_{kDead}, labels_{0} {
  measure();
}

Automaton Automaton::any() {
  std::vector<std::vector<bool>> members;
  const CharSet all = CharSet::any();
  AutomatonBuilder builder(make_partition({&all, 1}, members));
  const uint32_t state = builder.add_state(1);
  builder.set_next(state, 1, state);
  return std::move(builder).build(state);
}

std::optional<Automaton> Automaton::of(std::span<const std::u32string> texts) {
  std::map<CodePoint, size_t> symbols;
  for (const std::u32string& text : texts)
    for (const char32_t symbol : text) symbols.try_emplace(symbol, symbols.size());
  std::vector<CharSet> sets(symbols.size());
  for (const auto& [symbol, index] : symbols) sets[index] = CharSet::of(symbol);
  std::vector<std::vector<bool>> members;
  Partition partition = make_partition(sets, members);
  const Partition classes = partition;
  AutomatonBuilder builder(std::move(partition));
  const uint32_t start = builder.add_state(0);
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> edges;
  for (const std::u32string& text : texts) {
    uint32_t state = start;
    for (const char32_t symbol : text) {
      if (builder.full()) return std::nullopt;
      const uint32_t klass = classes.class_of(symbol);
      const auto [place, added] = edges.try_emplace({state, klass}, 0);
      if (added) {
        place->second = builder.add_state(0);
        builder.set_next(state, klass, place->second);
      }
      state = place->second;
    }
    builder.set_label(state, 1);
  }
  return std::move(builder).build(start);
}

std::optional<Automaton> Automaton::product(const Automaton& a, const Automaton& b,
                                            const std::function<uint32_t(uint32_t, uint32_t)>& combine) {
  std::vector<std::pair<uint16_t, uint16_t>> pairs;
  AutomatonBuilder builder(refine(a.partition_, b.partition_, pairs));
  std::unordered_map<uint64_t, uint32_t> ids;
  std::vector<std::pair<uint32_t, uint32_t>> pending;
  const auto id_of = [&](uint32_t in_a, uint32_t in_b) {
    const auto [place, added] = ids.try_emplace(uint64_t{in_a} << 32 | in_b, 0);
    if (added) {
      place->second = builder.add_state(combine(a.labels_[in_a], b.labels_[in_b]));
      pending.emplace_back(in_a, in_b);
    }
    return place->second;
  };
  const uint32_t start = id_of(a.start_, b.start_);
  // States are numbered as they are found, so pending[i] is state start + i.
  for (size_t i = 0; i < pending.size(); ++i) {
    if (builder.full()) return std::nullopt;
    const auto [in_a, in_b] = pending[i];
    for (uint32_t c = 1; c < pairs.size(); ++c) {
      const uint32_t to = id_of(a.next(in_a, pairs[c].first), b.next(in_b, pairs[c].second));
      builder.set_next(start + static_cast<uint32_t>(i), c, to);
    }
  }
  return std::move(builder).build(start);
}

std::optional<Automaton> Automaton::intersection(const Automaton& a, const Automaton& b) {
  return product(a, b, [](uint32_t in_a, uint32_t in_b) -> uint32_t { return in_a != 0 && in_b != 0; });
}

std::optional<Automaton> Automaton::difference(const Automaton& a, const Automaton& b) {
  return product(a, b, [](uint32_t in_a, uint32_t in_b) -> uint32_t { return in_a != 0 && in_b == 0; });
}

std::optional<Automaton> Automaton::unite(const Automaton& a, const Automaton& b) {
  return product(a, b, [](uint32_t in_a, uint32_t in_b) -> uint32_t { return in_a != 0 || in_b != 0; });
}

Automaton Automaton::relabelled(const std::function<uint32_t(uint32_t)>& map) const {
  Automaton result = *this;
  for (uint32_t& label : result.labels_) label = map(label);
  if (result.labels_[kDead] != 0) {  // what led nowhere is accepted now, with all that may follow
    for (uint32_t c = 1; c < class_count(); ++c) result.table_[c] = kDead;
    // The dead state needs another number, since finish() takes state 0 for dead.
    const uint32_t alive = result.state_count();
    result.labels_.push_back(result.labels_[kDead]);
    result.labels_[kDead] = 0;
    for (uint32_t s = 1; s < alive; ++s)
      for (uint32_t c = 1; c < class_count(); ++c)
        if (uint32_t& to = result.table_[s * class_count() + c]; to == kDead) to = alive;
    result.table_.resize(result.table_.size() + class_count(), alive);
    result.table_[alive * class_count()] = kDead;
    if (result.start_ == kDead) result.start_ = alive;
  }
  result.finish();
  return result;
}

uint32_t Automaton::label_of(std::u32string_view text) const {
  uint32_t state = start_;
  for (const char32_t symbol : text) state = next(state, partition_.class_of(symbol));
  return labels_[state];
}

size_t Automaton::bytes() const {
  return table_.size() * sizeof(uint32_t) + labels_.size() * (4 * sizeof(uint32_t)) +
         partition_.starts.size() * 6;
}

void Automaton::finish() {
  trim();
  measure();
}

// Drops states from which nothing is accepted or that nothing reaches.
void Automaton::trim() {
  const uint32_t states = state_count();
  const uint32_t classes = class_count();
  std::vector<uint32_t> in_degree(states + 1, 0);
  for (const uint32_t to : table_) ++in_degree[to + 1];
  for (uint32_t s = 0; s < states; ++s) in_degree[s + 1] += in_degree[s];
  std::vector<uint32_t> sources(table_.size());
  std::vector<uint32_t> fill(in_degree.begin(), in_degree.end() - 1);
  for (uint32_t s = 0; s < states; ++s)
    for (uint32_t c = 0; c < classes; ++c) sources[fill[table_[s * classes + c]]++] = s;
  std::vector<bool> live(states, false);
  std::vector<uint32_t> stack;
  for (uint32_t s = 1; s < states; ++s)
    if (labels_[s] != 0) {
      live[s] = true;
      stack.push_back(s);
    }
  while (!stack.empty()) {
    const uint32_t s = stack.back();
    stack.pop_back();
    for (uint32_t i = in_degree[s]; i < in_degree[s + 1]; ++i)
      if (const uint32_t from = sources[i]; from != kDead && !live[from]) {
        live[from] = true;
        stack.push_back(from);
      }
  }
  // Numbers in the order in which the start reaches them.
  std::vector<uint32_t> number(states, kDead);
  std::vector<uint32_t> order = {kDead};
  const auto visit = [&](uint32_t s) {
    if (s == kDead || !live[s] || number[s] != kDead) return;
    number[s] = static_cast<uint32_t>(order.size());
    order.push_back(s);
  };
  visit(start_);
  for (size_t i = 1; i < order.size(); ++i)
    for (uint32_t c = 1; c < classes; ++c) visit(table_[order[i] * classes + c]);
  std::vector<uint32_t> table(order.size() * classes, kDead);
  std::vector<uint32_t> labels(order.size(), 0);
  for (size_t i = 1; i < order.size(); ++i) {
    labels[i] = labels_[order[i]];
    for (uint32_t c = 1; c < classes; ++c) table[i * classes + c] = number[table_[order[i] * classes + c]];
  }
  start_ = number[start_];
  table_ = std::move(table);
  labels_ = std::move(labels);
}

void Automaton::measure() {
  const uint32_t states = state_count();
  const uint32_t classes = class_count();
  // Edges backwards, and per state how many of its edges lead to states whose longest text is not known yet.
  std::vector<uint32_t> first(states + 1, 0);
  std::vector<uint32_t> unresolved(states, 0);
  const auto each_edge = [&](const auto& visit) {
    for (uint32_t s = 1; s < states; ++s)
      for (uint32_t c = 1; c < classes; ++c)
        if (const uint32_t to = next(s, c); to != kDead) visit(s, to);
  };
  each_edge([&](uint32_t from, uint32_t to) {
    ++first[to + 1];
    ++unresolved[from];
  });
  for (uint32_t s = 0; s < states; ++s) first[s + 1] += first[s];
  std::vector<uint32_t> sources(first[states]);
  std::vector<uint32_t> fill(first.begin(), first.end() - 1);
  each_edge([&](uint32_t from, uint32_t to) { sources[fill[to]++] = from; });
  const auto each_source = [&](uint32_t s, const auto& visit) {
    for (uint32_t i = first[s]; i < first[s + 1]; ++i) visit(sources[i]);
  };
  // Not universal: not accepted, or something leads to a dead, another or a not universal state.
  universal_.assign(states, 1);
  std::vector<uint32_t> queue = {kDead};
  universal_[kDead] = 0;
  for (uint32_t s = 1; s < states; ++s) {
    bool stays = labels_[s] != 0;
    for (uint32_t c = 1; stays && c < classes; ++c) stays = labels_[next(s, c)] == labels_[s];
    if (stays) continue;
    universal_[s] = 0;
    queue.push_back(s);
  }
  for (size_t i = 0; i < queue.size(); ++i)
    each_source(queue[i], [&](uint32_t from) {
      if (universal_[from] == 0) return;
      universal_[from] = 0;
      queue.push_back(from);
    });
  shortest_.assign(states, kUnbounded);
  queue.clear();
  for (uint32_t s = 1; s < states; ++s)
    if (labels_[s] != 0) {
      shortest_[s] = 0;
      queue.push_back(s);
    }
  for (size_t i = 0; i < queue.size(); ++i)
    each_source(queue[i], [&](uint32_t from) {
      if (shortest_[from] != kUnbounded) return;
      shortest_[from] = shortest_[queue[i]] + 1;
      queue.push_back(from);
    });
  // From the ends backwards; states on the way to a circle are never reached and stay unbounded.
  const std::vector<uint64_t> sizes = partition_.sizes();
  longest_.assign(states, kUnbounded);
  continuations_.assign(states, UINT32_MAX);
  longest_[kDead] = continuations_[kDead] = 0;
  queue.clear();
  for (uint32_t s = 1; s < states; ++s)
    if (unresolved[s] == 0) queue.push_back(s);
  for (size_t i = 0; i < queue.size(); ++i) {
    const uint32_t s = queue[i];
    longest_[s] = 0;
    uint64_t count = labels_[s] != 0;
    for (uint32_t c = 1; c < classes; ++c)
      if (const uint32_t to = next(s, c); to != kDead) {
        longest_[s] = std::max(longest_[s], longest_[to] + 1);
        count = saturate(count + sizes[c] * continuations_[to]);
      }
    continuations_[s] = saturate(count);
    each_source(s, [&](uint32_t from) {
      if (--unresolved[from] == 0) queue.push_back(from);
    });
  }
}

AutomatonBuilder::AutomatonBuilder(Partition partition) {
  automaton_.partition_ = std::move(partition);
  automaton_.table_.assign(automaton_.partition_.count, Automaton::kDead);
  automaton_.labels_.assign(1, 0);
}

uint32_t AutomatonBuilder::add_state(uint32_t label) {
  automaton_.table_.resize(automaton_.table_.size() + automaton_.partition_.count, Automaton::kDead);
  automaton_.labels_.push_back(label);
  return automaton_.state_count() - 1;
}

void AutomatonBuilder::set_label(uint32_t state, uint32_t label) {
  automaton_.labels_[state] = label;
}

void AutomatonBuilder::set_next(uint32_t from, uint32_t klass, uint32_t to) {
  automaton_.table_[from * automaton_.partition_.count + klass] = to;
}

bool AutomatonBuilder::full() const {
  return automaton_.labels_.size() > kMaxAutomatonStates || automaton_.table_.size() > kMaxTransitions;
}

Automaton AutomatonBuilder::build(uint32_t start) && {
  automaton_.start_ = start;
  automaton_.finish();
  return std::move(automaton_);
}

std::u32string code_points(std::string_view utf8) {
  std::u32string points;
  for (size_t i = 0; i < utf8.size();) {
    const auto lead = static_cast<unsigned char>(utf8[i]);
    const size_t length = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t point = length == 1 ? lead : lead & (0x7F >> length);
    bool whole = lead < 0x80 || (lead >= 0xC2 && lead < 0xF5 && i + length <= utf8.size());
    for (size_t k = 1; whole && k < length; ++k) {
      const auto byte = static_cast<unsigned char>(utf8[i + k]);
      whole = (byte & 0xC0) == 0x80;
      point = point << 6 | (byte & 0x3F);
    }
    points.push_back(whole ? point : char32_t{0xFFFD});
    i += whole ? length : 1;
  }
  return points;
}

}  // namespace ft::grammar
