// Makes the nodes and rules of a grammar from normal forms.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "verify/grammar/grammar.h"
#include "verify/grammar/normaliser.h"

namespace ft::grammar {

// First one draft per conjunction that can be reached; then the drafts that hold no value are found (a member
// that requires itself, bounds that cannot be met) and left out; then rules are made of the rest.
class NodeBuilder {
 public:
  explicit NodeBuilder(Normaliser& normaliser) : normaliser_(normaliser) {}
  tl::expected<std::shared_ptr<const Grammar>, SchemaError> build();

 private:
  struct MemberDraft {
    std::string name;
    NodeId value = 0;
    bool required = false;
  };
  struct ArrayDraft {
    std::vector<NodeId> prefix;
    NodeId rest = 0;
    int64_t min = 0;
    int64_t max = 0;
    bool unique = false;
    NodeId contained = UINT32_MAX;
    bool dead = false;
  };
  struct ObjectDraft {
    std::vector<MemberDraft> members;
    AutomatonRef extras;  // label k + 1: extra_values[k]
    std::vector<NodeId> extra_values;
    int64_t min = 0;
    int64_t max = 0;
    bool dead = false;
  };
  struct NodeDraft {
    ConjunctionId conjunction = kAnything;
    Node rules;  // literals and strings
    std::vector<ArrayDraft> arrays;
    std::vector<ObjectDraft> objects;
    bool productive = false;
    std::vector<NodeId> dependents;
  };

  NodeId node(ConjunctionId conjunction);
  void draft(NodeId id);
  void draft_string(NodeDraft& node, const StringShape& shape);
  ArrayDraft draft_array(NodeId id, const ArrayShape& shape);
  std::optional<ObjectDraft> draft_object(NodeId id, const ObjectShape& shape);
  void draft_extras(NodeId id, const ObjectShape& shape, ObjectDraft& object);
  // The names that `propertyNames` allows; null for all.
  AutomatonRef allowed_names(const ObjectShape& shape);
  AutomatonRef texts_of(const StringShape& shape);

  uint32_t literal(const AutomatonRef& texts);
  uint32_t literal(const std::vector<std::string>& texts);
  std::shared_ptr<const TextLanguage> language(const AutomatonRef& automaton);

  void find_productive();
  bool holds_value(const NodeDraft& node) const;
  bool holds_value(const ArrayDraft& array) const;
  bool holds_value(const ObjectDraft& object) const;
  bool drop_impossible();  // whether any was found

  void finish_node(NodeId id);
  ArrayRule finish_array(const ArrayDraft& draft) const;
  // How many different items there are; nothing where equal items may be different texts.
  std::optional<int64_t> distinct_items(const ArrayDraft& draft) const;
  ObjectRule finish_object(const ObjectDraft& draft);

  void refuse(std::string_view keyword, ConjunctionId where, std::string message);

  Normaliser& normaliser_;
  std::optional<SchemaError> error_;
  std::shared_ptr<Grammar> grammar_ = std::make_shared<Grammar>();
  std::deque<NodeDraft> drafts_;
  std::map<ConjunctionId, NodeId> node_ids_;
  std::map<AutomatonRef, uint32_t> literal_ids_;
  std::map<std::vector<std::string>, uint32_t> value_ids_;
  std::map<AutomatonRef, std::shared_ptr<const TextLanguage>> languages_;
  std::map<std::tuple<AutomatonRef, int64_t, int64_t>, uint32_t> string_ids_;
  std::map<std::vector<std::string>, std::shared_ptr<const NameTrie>> tries_;
  AutomatonRef any_text_ = std::make_shared<const Automaton>(Automaton::any());
  size_t automata_bytes_ = 0;
};

}  // namespace ft::grammar
