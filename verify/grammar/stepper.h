// How a grammar reads bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "verify/grammar/frame_pool.h"
#include "verify/grammar/grammar.h"

namespace ft::grammar {

// What is expected next.
enum class Phase : uint16_t {
  kValue,       // the first byte of a value; `rule`: its node
  kLiteral,     // within or behind a literal; `state` of its automaton
  kString,      // within the quotes
  kText,        // within a text without quotes
  kFirstItem,   // behind [
  kAfter,       // behind a value: a comma or the end of what is open, or of everything
  kSpace,       // behind a comma
  kFirstName,   // behind {
  kName,        // the quote before a name
  kInName,      // within it
  kColon,       // behind it; `rule`: the node of the value
  kColonSpace,  // behind the colon
  kMarkup,      // within a fixed text of a markup; `length`: the node of its trie
};

// One way to read the bytes so far. Every configuration can be completed: no byte is taken that leads
// nowhere.
struct Configuration {
  FrameId frame = kBottom;
  Phase phase = Phase::kValue;
  uint16_t unit = 0;    // within a character
  uint32_t rule = 0;    // node, literal, string or text
  uint32_t state = 0;   // of the automaton; in a name of that of other names, dead where there may be none
  uint32_t length = 0;  // characters of a string; in a name the node of the trie
  uint64_t hash = 0;    // of a name so far, or of an item that must differ from those before it
  bool operator==(const Configuration&) const = default;
};
using Configurations = std::vector<Configuration>;

// More readings than this are not kept at once: an ambiguous grammar allows less then, and never wrongly.
inline constexpr size_t kMaxConfigurations = 64;

class Stepper {
 public:
  Stepper(const Grammar& grammar, FramePool& pool) : grammar_(grammar), pool_(pool) {}

  Configuration start() const { return {kBottom, Phase::kValue, 0, grammar_.root, 0, 0, 0}; }
  // Appends what `from` becomes behind the byte: nothing where it is not allowed. Equal ones are appended
  // once.
  void step(const Configuration& from, uint8_t byte, Configurations& out);
  // The byte that must come next; empty where there are several. The text may end here all the same.
  std::optional<uint8_t> only_byte(const Configuration& from);
  // Whether the text may end here.
  bool complete(const Configuration& configuration) const;
  // Characters of a string or name that may follow whatever they are: as StringRule::free_characters.
  uint32_t free_characters(const Configuration& configuration) const;
  // Kinds of characters that may follow in a string or name, `characters` of them or fewer, in any order.
  CharKinds free_kinds(const Configuration& configuration, uint32_t characters) const;

 private:
  void begin_value(NodeId node, FrameId frame, uint8_t byte, Configurations& out);
  void after(FrameId frame, uint8_t byte, Configurations& out);
  // The next item of an array: its node, and the frame it stands in. Two where it may be the one that must be there.
  struct NextItem {
    NodeId node = 0;
    FrameId frame = kBottom;
  };
  void next_items(const Frame& frame, std::vector<NextItem>& items);
  void in_name(const Configuration& from, uint8_t byte, Configurations& out);
  void end_name(const Configuration& from, Configurations& out);
  void in_markup(const Configuration& from, uint8_t byte, Configurations& out);
  void begin_name(FrameId frame, Configurations& out);

  // Items that must differ: the frame behind one, or none if it was used.
  std::optional<FrameId> behind_item(const Configuration& item);
  // Whether an item begun so can be ended as one that was not used.
  bool item_alive(const Configuration& item) const;
  bool step_item(Configuration& item, uint8_t byte) const;
  bool item_ends(const Configuration& item) const;

  // Members that may come next: first to last, none where last < first.
  struct Members {
    uint32_t first = 1;
    uint32_t last = 0;
    bool any() const { return first <= last; }
  };
  Members next_members(const Frame& frame, const ObjectRule& rule) const;
  bool extras_open(const Frame& frame, const ObjectRule& rule) const;
  bool may_close(const Frame& frame, const ObjectRule& rule) const;
  bool may_go_on(const Frame& frame, const ObjectRule& rule) const {
    return next_members(frame, rule).any() || extras_open(frame, rule);
  }
  // Whether a name begun so can be ended by one that is neither named by the rule nor used.
  bool extra_alive(const Configuration& from, const Frame& frame, const ObjectRule& rule) const;
  bool step_extra(Configuration& name, const ObjectRule& rule, uint8_t byte) const;
  bool extra_ends(const Configuration& name, const Frame& frame, const ObjectRule& rule) const;

  void put(const Configuration& configuration, Configurations& out) const;

  const Grammar& grammar_;
  FramePool& pool_;
  std::vector<NextItem> items_;
};

}  // namespace ft::grammar
