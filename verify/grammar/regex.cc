#include "verify/grammar/regex.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "verify/grammar/regex_parser.h"

namespace ft::grammar {
namespace {

using Kind = RegexNode::Kind;
using Set = std::vector<uint32_t>;  // of positions, ascending

// Steps that making one automaton may take before it is called too complex; some milliseconds.
constexpr size_t kMaxWork = 400'000;
constexpr uint32_t kNone = UINT32_MAX;

// A position in the pattern (Thompson's construction).
struct Position {
  enum class Kind { kChars, kSplit, kBegin, kEnd, kAccept } kind;
  uint32_t chars = 0;       // index of the set of a kChars position
  uint32_t next = kNone;    // where all but kAccept go
  uint32_t second = kNone;  // the other way of a kSplit
};

// Writes the tree out into positions, from the end backwards: each part is told where it continues.
class PositionWriter {
 public:
  std::vector<Position> positions;
  std::vector<CharSet> sets;

  uint32_t add(Position position) {
    positions.push_back(position);
    return static_cast<uint32_t>(positions.size() - 1);
  }

  uint32_t add_chars(const CharSet& chars, uint32_t next) {
    const auto known = std::find(sets.begin(), sets.end(), chars);
    const auto index = static_cast<uint32_t>(known - sets.begin());
    if (known == sets.end()) sets.push_back(chars);
    return add({Position::Kind::kChars, index, next});
  }

  // The begin of `node`, continuing at `next`; kNone when there are too many positions or a lookahead.
  uint32_t write(const RegexNode& node, uint32_t next) {
    if (positions.size() > kMaxRegexStates || next == kNone) return kNone;
    switch (node.kind) {
      case Kind::kEmpty:
        return next;
      case Kind::kChars:
        return add_chars(node.chars, next);
      case Kind::kBegin:
        return add({Position::Kind::kBegin, 0, next});
      case Kind::kEnd:
        return add({Position::Kind::kEnd, 0, next});
      case Kind::kSequence:
        for (auto part = node.parts.rbegin(); part != node.parts.rend(); ++part) next = write(*part, next);
        return next;
      case Kind::kChoice: {
        uint32_t begin = write(node.parts.back(), next);
        for (auto part = node.parts.rbegin() + 1; part != node.parts.rend(); ++part) {
          const uint32_t other = write(*part, next);
          if (begin == kNone || other == kNone) return kNone;
          begin = add({Position::Kind::kSplit, 0, other, begin});
        }
        return begin;
      }
      case Kind::kRepeat:
        return write_repeat(node, next);
      case Kind::kAhead:
        return kNone;
    }
    return kNone;
  }

 private:
  uint32_t write_repeat(const RegexNode& node, uint32_t next) {
    uint32_t begin = next;
    if (node.max < 0) {
      const uint32_t loop = add({Position::Kind::kSplit, 0, kNone, next});
      const uint32_t body = write(node.parts[0], loop);
      if (body == kNone) return kNone;
      positions[loop].next = body;
      begin = loop;
    }
    for (int i = node.min; i < node.max; ++i) {  // (x(x(x)?)?)?
      const uint32_t body = write(node.parts[0], begin);
      if (body == kNone) return kNone;
      begin = add({Position::Kind::kSplit, 0, body, next});
    }
    for (int i = 0; i < node.min; ++i) begin = write(node.parts[0], begin);
    return begin;
  }
};

// The subset construction.
class Determiniser {
 public:
  explicit Determiniser(const PositionWriter& writer) : positions_(writer.positions) {
    std::vector<std::vector<bool>> members;
    partition_ = make_partition(writer.sets, members);
    for (const std::vector<bool>& held : members) {
      classes_of_.emplace_back();
      for (uint32_t c = 1; c < held.size(); ++c)
        if (held[c]) classes_of_.back().push_back(c);
    }
    after_.resize(positions_.size());
    seen_.resize(positions_.size(), 0);
  }

  // `search`: what stands behind an accepting position does not matter.
  std::optional<Automaton> run(uint32_t begin, bool search) {
    AutomatonBuilder builder(partition_);
    std::map<Set, uint32_t> ids;
    std::vector<const Set*> pending;
    uint32_t all = kNone;
    const auto id_of = [&](Set set, bool at_begin) {
      if (search && accepts(set)) {
        if (all == kNone) {
          all = builder.add_state(1);
          for (uint32_t c = 1; c < partition_.count; ++c) builder.set_next(all, c, all);
          pending.push_back(nullptr);
        }
        return all;
      }
      if (set.empty()) return Automaton::kDead;
      const auto [place, added] = ids.try_emplace(std::move(set), 0);
      if (added) {
        place->second = builder.add_state(accepts(place->first) || accepts_at_end(place->first, at_begin));
        pending.push_back(&place->first);
      }
      return place->second;
    };
    const uint32_t start = id_of(closure({begin}, true, false), true);
    std::vector<Set> targets(partition_.count);
    for (size_t i = 0; i < pending.size(); ++i) {  // state i + 1
      if (pending[i] == nullptr) continue;
      if (builder.full() || work_ > kMaxWork) return std::nullopt;
      for (Set& target : targets) target.clear();
      for (const uint32_t p : *pending[i]) {
        if (positions_[p].kind != Position::Kind::kChars) continue;
        const Set& after = this->after(p);
        for (const uint32_t c : classes_of_[positions_[p].chars]) {
          targets[c].insert(targets[c].end(), after.begin(), after.end());
          work_ += after.size();
        }
      }
      for (uint32_t c = 1; c < partition_.count; ++c) {
        std::sort(targets[c].begin(), targets[c].end());
        targets[c].erase(std::unique(targets[c].begin(), targets[c].end()), targets[c].end());
        builder.set_next(static_cast<uint32_t>(i + 1), c, id_of(targets[c], false));
      }
    }
    return std::move(builder).build(start);
  }

 private:
  bool accepts(const Set& set) const {
    return std::any_of(set.begin(), set.end(),
                       [&](uint32_t p) { return positions_[p].kind == Position::Kind::kAccept; });
  }

  // Whether an accepting position is reached through anchors of the end.
  bool accepts_at_end(const Set& set, bool at_begin) {
    Set ends;
    for (const uint32_t p : set)
      if (positions_[p].kind == Position::Kind::kEnd) ends.push_back(p);
    return !ends.empty() && accepts(closure(std::move(ends), at_begin, true));
  }

  // What can be reached without reading: characters, anchors of the end and accepting positions.
  Set closure(Set stack, bool at_begin, bool at_end) {
    ++round_;
    Set reached;
    while (!stack.empty()) {
      const uint32_t p = stack.back();
      stack.pop_back();
      ++work_;
      if (seen_[p] == round_) continue;
      seen_[p] = round_;
      const Position& position = positions_[p];
      if (position.kind == Position::Kind::kSplit) {
        stack.push_back(position.second);
        stack.push_back(position.next);
      } else if (position.kind == Position::Kind::kBegin) {
        if (at_begin) stack.push_back(position.next);
      } else if (position.kind == Position::Kind::kEnd && at_end) {
        stack.push_back(position.next);
      } else {
        reached.push_back(p);
      }
    }
    std::sort(reached.begin(), reached.end());
    return reached;
  }

  const Set& after(uint32_t p) {
    if (!after_[p]) after_[p] = closure({positions_[p].next}, false, false);
    return *after_[p];
  }

  const std::vector<Position>& positions_;
  Partition partition_;
  std::vector<std::vector<uint32_t>> classes_of_;  // of each set
  std::vector<std::optional<Set>> after_;          // closure behind each kChars position
  std::vector<uint64_t> seen_;                     // the round that last met a position
  uint64_t round_ = 0;
  size_t work_ = 0;
};

bool has_ahead(const RegexNode& node) {
  return node.kind == Kind::kAhead || std::any_of(node.parts.begin(), node.parts.end(), has_ahead);
}

tl::unexpected<Error> too_large() {
  return fail(ErrorCode::kTooLarge, "the regular expression is too complex (over {} states)",
              kMaxAutomatonStates);
}

Result<Automaton> determinise(const RegexNode& node, RegexMatch match) {
  PositionWriter writer;
  const uint32_t accept = writer.add({Position::Kind::kAccept});
  uint32_t begin = writer.write(node, accept);
  if (begin == kNone) return too_large();
  if (match == RegexMatch::kSearch) {
    const uint32_t skip = writer.add_chars(CharSet::any(), kNone);
    begin = writer.add({Position::Kind::kSplit, 0, begin, skip});
    writer.positions[skip].next = begin;
  }
  auto automaton = Determiniser(writer).run(begin, match == RegexMatch::kSearch);
  if (!automaton) return too_large();
  return std::move(*automaton);
}

// One alternative of the pattern: lookahead behind its first anchor is an intersection.
Result<Automaton> compile_alternative(const RegexNode& node, RegexMatch match) {
  if (!has_ahead(node)) return determinise(node, match);
  RegexNode rest = node;
  auto& parts = rest.parts;
  const bool anchored = !parts.empty() && parts[0].kind == Kind::kBegin;
  std::vector<RegexNode> aheads;
  if (node.kind == Kind::kSequence && (anchored || match == RegexMatch::kWhole)) {
    const size_t first = anchored ? 1 : 0;
    while (parts.size() > first && parts[first].kind == Kind::kAhead) {
      aheads.push_back(std::move(parts[first]));
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(first));
    }
  }
  if (has_ahead(rest))
    return fail(ErrorCode::kInvalidArgument,
                "a lookahead that does not stand right behind ^ at the begin of the regular expression");
  Result<Automaton> result = determinise(rest, match);
  for (const RegexNode& ahead : aheads) {
    if (!result) break;
    if (has_ahead(ahead.parts[0]))
      return fail(ErrorCode::kInvalidArgument, "a lookahead within a lookahead of the regular expression");
    RegexNode from_begin;
    from_begin.kind = Kind::kSequence;
    from_begin.parts = {RegexNode{Kind::kBegin, {}, {}, 0, 0, false}, ahead.parts[0]};
    const Result<Automaton> looked = determinise(from_begin, RegexMatch::kSearch);
    if (!looked) return looked;
    auto both =
        ahead.negative ? Automaton::difference(*result, *looked) : Automaton::intersection(*result, *looked);
    if (!both) return too_large();
    result = std::move(*both);
  }
  return result;
}

}  // namespace

Result<Automaton> compile_regex(std::string_view pattern, RegexMatch match) {
  const Result<RegexNode> tree = parse_regex(pattern);
  if (!tree) return tl::unexpected(tree.error());
  if (tree->kind != Kind::kChoice || !has_ahead(*tree)) return compile_alternative(*tree, match);
  Automaton result;
  for (const RegexNode& part : tree->parts) {
    const Result<Automaton> one = compile_alternative(part, match);
    if (!one) return one;
    auto both = Automaton::unite(result, *one);
    if (!both) return too_large();
    result = std::move(*both);
  }
  return result;
}

}  // namespace ft::grammar
