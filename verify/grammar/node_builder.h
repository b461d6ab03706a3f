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

  // One parameter of a call: strings stand in it as they are, other values as JSON.
  struct Parameter {
    std::string name;
    NodeId text = MarkupRule::kNoValue;  // kNoValue: no such values
    NodeId json = MarkupRule::kNoValue;
    bool required = false;
  };
  struct Call {
    std::shared_ptr<const Grammar> grammar;
    // Of each alternative of the whole object, in the schema's order.
    std::vector<std::vector<Parameter>> alternatives;
  };
  // The named members of a schema's objects as parameters, texts without what `outside` accepts. Members that
  // the schema does not name are left out, and so are values that are no objects. Refused: a schema without objects,
  // bounds on the number of members that the parameters of an alternative do not meet by themselves.
  tl::expected<Call, SchemaError> build_call(const AutomatonRef& outside);

 private:
  // What of a conjunction's values a node is to hold. kOneForm: all, whole numbers as integers alone.
  enum class Part : uint8_t { kAll, kTexts, kNoStrings, kOneForm };
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
    Part part = Part::kAll;
    Node rules;  // literals, strings and texts
    std::vector<ArrayDraft> arrays;
    std::vector<ObjectDraft> objects;
    bool productive = false;
    std::vector<NodeId> dependents;
  };

  void refuse_empty();
  NodeId node(ConjunctionId conjunction, Part part = Part::kAll);
  void draft(NodeId id);
  void draft_string(NodeDraft& node, const StringShape& shape);
  void draft_text(NodeDraft& node, const StringShape& shape);
  void make_drafts();
  void finish();
  void check_call(const ObjectDraft& object);
  ArrayDraft draft_array(NodeId id, const ArrayShape& shape);
  std::optional<ObjectDraft> draft_object(NodeId id, const ObjectShape& shape);
  void draft_extras(NodeId id, const ObjectShape& shape, ObjectDraft& object);
  // The names that `propertyNames` allows; null for all.
  AutomatonRef allowed_names(const ObjectShape& shape);
  AutomatonRef texts_of(const StringShape& shape);
  AutomatonRef one_form_of(const AutomatonRef& numbers);

  uint32_t literal(const AutomatonRef& texts);
  uint32_t literal(const std::vector<std::string>& texts);
  std::shared_ptr<const TextLanguage> language(const AutomatonRef& automaton,
                                               TextForm form = TextForm::kJsonString);

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
  NodeId drafted_ = 0;  // those before it are made
  std::map<std::pair<ConjunctionId, Part>, NodeId> node_ids_;
  std::map<AutomatonRef, uint32_t> literal_ids_;
  std::map<std::vector<std::string>, uint32_t> value_ids_;
  std::map<std::pair<AutomatonRef, TextForm>, std::shared_ptr<const TextLanguage>> languages_;
  AutomatonRef outside_;  // texts that no parameter may hold
  std::map<std::tuple<AutomatonRef, int64_t, int64_t>, uint32_t> string_ids_;
  std::map<std::vector<std::string>, std::shared_ptr<const NameTrie>> tries_;
  AutomatonRef any_text_ = std::make_shared<const Automaton>(Automaton::any());
  size_t automata_bytes_ = 0;
};

}  // namespace ft::grammar
