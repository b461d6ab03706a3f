// A compiled grammar of JSON values: immutable, shared by every request and thread that uses it.
//
// JSON is written in one layout: `{"a": 1, "b": [2, 3]}`, one space behind each comma and colon and no other
// white space; every string in the one form of TextForm::kJsonString. An object's members come in the order
// of its rule, those that are not named there last; no name comes twice.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "verify/grammar/name_trie.h"
#include "verify/grammar/text_language.h"

namespace ft::grammar {

using NodeId = uint32_t;

// A value: any of these.
struct Node {
  std::vector<uint32_t> literals;  // numbers of the grammar's rules of that kind
  std::vector<uint32_t> strings;
  std::vector<uint32_t> arrays;
  std::vector<uint32_t> objects;
  std::vector<uint32_t> texts;  // strings without quotes
  std::vector<uint32_t> markups;
};

// Exact texts: null, true, false, numbers, given strings with their quotes.
struct LiteralRule {
  std::shared_ptr<const Automaton> texts;  // over bytes
  std::array<uint16_t, 256> class_of{};
};

struct ArrayRule {
  std::vector<NodeId> prefix;
  NodeId rest = 0;
  uint32_t min = 0;
  uint32_t max = UINT32_MAX;  // no maximum
  // No two items are equal. Then there is no prefix, items are literals and strings, and equal ones are equal texts.
  bool unique = false;
  // What one item at least is; UINT32_MAX: nothing. Then there is no prefix. A frame counts whether it was there.
  NodeId contained = UINT32_MAX;

  bool contains() const { return contained != UINT32_MAX; }
  NodeId item(uint32_t index) const { return index < prefix.size() ? prefix[index] : rest; }
  // Items up to which their number matters.
  uint32_t counted() const;
};

struct ObjectRule {
  struct Member {
    NodeId value = 0;
    bool required = false;
  };
  std::vector<Member> members;
  std::shared_ptr<const NameTrie> names;
  // Other names; label k + 1 of the automaton: values of extra_values[k]. Null: there are none.
  std::shared_ptr<const TextLanguage> extras;
  std::vector<NodeId> extra_values;
  uint32_t extra_capacity = 0;  // how many other names there are, UINT32_MAX for no end
  uint32_t min = 0;
  uint32_t max = UINT32_MAX;

  std::vector<uint32_t> required_from;  // [i]: required members from i on
  std::vector<uint32_t> next_required;  // [i]: the first of them, members.size() if none

  void index();  // fills the last two
  uint32_t counted() const { return max == UINT32_MAX ? min : max; }
};

// Fixed texts with values between them, as an automaton: in a state one of some texts comes, then a value if
// the text has one, then one of the next states. A value without quotes ends where a text of its state may begin.
struct MarkupRule {
  static constexpr NodeId kNoValue = UINT32_MAX;

  struct Edge {
    NodeId value = kNoValue;     // behind the text
    std::vector<uint32_t> next;  // the states behind that, of which one goes on
  };
  // Texts that share a trie, by number; none of them is another's beginning or empty.
  struct Texts {
    std::shared_ptr<const NameTrie> trie;
    std::vector<Edge> edges;
  };
  struct State {
    uint32_t texts = 0;
    uint32_t first = 1;  // the numbers of those that may come here; none in the last state
    uint32_t last = 0;
    bool ends() const { return first > last; }
  };
  std::vector<Texts> texts;
  std::vector<State> states;
  NodeId begin = kNoValue;  // a value before the first text
};

struct Grammar {
  std::vector<Node> nodes;
  std::vector<LiteralRule> literals;
  std::vector<std::shared_ptr<const StringRule>> strings;
  std::vector<ArrayRule> arrays;
  std::vector<ObjectRule> objects;
  std::vector<MarkupRule> markups;
  NodeId root = 0;
};

}  // namespace ft::grammar
