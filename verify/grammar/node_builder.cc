#include "verify/grammar/node_builder.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "verify/grammar/number_language.h"
#include "verify/grammar/regex.h"

namespace ft::grammar {
namespace {

constexpr size_t kMaxAutomataBytes = size_t{16} << 20;
constexpr size_t kMaxMembers = 200'000;  // of all objects together
constexpr size_t kMaxNamePatterns = 24;  // of one object

uint32_t limit_of(int64_t limit) {
  return limit >= kMaxCount ? UINT32_MAX : static_cast<uint32_t>(limit);
}

std::string quoted(const std::string& text) {
  return '"' + encoded(code_points(text), TextForm::kJsonString) + '"';
}

}  // namespace

void NodeBuilder::refuse(std::string_view keyword, ConjunctionId where, std::string message) {
  if (!error_)
    error_ = SchemaError{std::string(keyword), normaliser_.place_of(where).path, std::move(message)};
}

tl::expected<std::shared_ptr<const Grammar>, SchemaError> NodeBuilder::build() {
  grammar_->root = node(normaliser_.root());
  make_drafts();
  finish();
  if (error_) return tl::make_unexpected(*error_);
  return grammar_;
}

tl::expected<NodeBuilder::Call, SchemaError> NodeBuilder::build_call(const AutomatonRef& outside) {
  outside_ = outside;
  const NodeId root = grammar_->root = node(normaliser_.root(), Part::kNoStrings);
  make_drafts();
  if (!error_ && drafts_[root].objects.empty())
    refuse("type", drafts_[root].conjunction, "the parameters of a tool are an object");
  if (error_) return tl::make_unexpected(*error_);
  Call call;
  for (const ObjectDraft& object : drafts_[root].objects) {
    auto& parameters = call.alternatives.emplace_back();
    for (const MemberDraft& member : object.members) {
      const ConjunctionId values = drafts_[member.value].conjunction;
      parameters.push_back(
          {member.name, node(values, Part::kTexts), node(values, Part::kNoStrings), member.required});
    }
  }
  make_drafts();
  finish();
  for (size_t i = drafts_[root].objects.size(); i-- > 0 && !error_;) {
    const ObjectDraft& object = drafts_[root].objects[i];
    if (holds_value(object))
      check_call(object);
    else
      call.alternatives.erase(call.alternatives.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (!error_ && call.alternatives.empty()) refuse_empty();
  if (error_) return tl::make_unexpected(*error_);
  for (auto& parameters : call.alternatives)
    for (Parameter& parameter : parameters)
      for (NodeId* value : {&parameter.text, &parameter.json})
        if (!drafts_[*value].productive) *value = MarkupRule::kNoValue;
  call.grammar = grammar_;
  return call;
}

// How many members there are is not counted in a call.
void NodeBuilder::check_call(const ObjectDraft& object) {
  int64_t required = 0;
  for (const MemberDraft& member : object.members) required += member.required ? 1 : 0;
  const ConjunctionId root = drafts_[grammar_->root].conjunction;
  if (object.min > required)
    refuse("minProperties", root, "over the number of required parameters is not supported");
  if (object.max < std::ssize(object.members))
    refuse("maxProperties", root, "under the number of parameters is not supported");
}

// Of all nodes that are wanted and have none yet.
void NodeBuilder::make_drafts() {
  for (; drafted_ < drafts_.size() && !error_; ++drafted_) draft(drafted_);
}

// Rules of what holds a value.
void NodeBuilder::finish() {
  if (!error_) {
    do {
      find_productive();
    } while (drop_impossible() && !error_);
    if (!error_ && !drafts_[grammar_->root].productive) refuse_empty();
  }
  for (NodeId id = 0; id < drafts_.size() && !error_; ++id) finish_node(id);
}

void NodeBuilder::refuse_empty() {
  const SchemaPlace place = normaliser_.place_of(drafts_[grammar_->root].conjunction);
  error_ = SchemaError{std::string(combining_keyword(*place.schema)), place.path,
                       "no value is valid, as far as we can tell"};
}

NodeId NodeBuilder::node(ConjunctionId conjunction, Part part) {
  const auto [known, added] =
      node_ids_.try_emplace(std::pair(conjunction, part), static_cast<NodeId>(drafts_.size()));
  if (added) {
    drafts_.emplace_back().conjunction = conjunction;
    drafts_.back().part = part;
  }
  return known->second;
}

void NodeBuilder::draft(NodeId id) {
  const ConjunctionId conjunction = drafts_[id].conjunction;
  const Normaliser::Outcome shapes = normaliser_.shapes(conjunction);
  if (!shapes) {
    error_ = shapes.error();
    return;
  }
  for (const Shape& shape : **shapes) {
    NodeDraft& draft = drafts_[id];
    if (draft.part == Part::kTexts) {
      if (shape.type == JsonType::kString) draft_text(draft, *shape.string);
      if (error_) return;
      continue;
    }
    switch (shape.type) {
      case JsonType::kNull:
        draft.rules.literals.push_back(literal({"null"}));
        break;
      case JsonType::kBoolean:
        if (shape.with_false) draft.rules.literals.push_back(literal({"false"}));
        if (shape.with_true) draft.rules.literals.push_back(literal({"true"}));
        break;
      case JsonType::kNumber:
        draft.rules.literals.push_back(
            literal(draft.part == Part::kOneForm ? one_form_of(shape.number) : shape.number));
        break;
      case JsonType::kString:
        if (draft.part != Part::kNoStrings) draft_string(draft, *shape.string);
        break;
      case JsonType::kArray:
        draft.arrays.push_back(draft_array(id, *shape.array));
        break;
      case JsonType::kObject:
        if (auto object = draft_object(id, *shape.object)) drafts_[id].objects.push_back(std::move(*object));
        break;
    }
    if (error_) return;
  }
}

void NodeBuilder::draft_string(NodeDraft& node, const StringShape& shape) {
  if (shape.values) {
    std::vector<std::string> texts;
    for (const std::string& value : *shape.values) texts.push_back(quoted(value));
    node.rules.literals.push_back(literal(texts));
    return;
  }
  const AutomatonRef automaton = shape.language == nullptr ? any_text_ : shape.language;
  const auto [known, added] = string_ids_.try_emplace(std::tuple(automaton, shape.min, shape.max),
                                                      static_cast<uint32_t>(grammar_->strings.size()));
  if (added) {
    auto rule = StringRule::make(language(automaton), limit_of(shape.min), limit_of(shape.max));
    if (rule == nullptr)
      return refuse("maxLength", node.conjunction, "too large beside minLength and a pattern");
    grammar_->strings.push_back(std::move(rule));
  }
  node.rules.strings.push_back(known->second);
}

// A string as it stands between tags.
void NodeBuilder::draft_text(NodeDraft& node, const StringShape& shape) {
  StringShape free = shape;
  if (shape.values) {
    free = StringShape();
    free.language = texts_of(shape);
    if (free.language == nullptr) return refuse("enum", node.conjunction, "too many values");
  }
  const AutomatonRef all = free.language == nullptr ? any_text_ : free.language;
  auto inside = Automaton::difference(*all, *outside_);
  if (!inside) return refuse("pattern", node.conjunction, "too large for a parameter");
  if (inside->empty()) return;
  const auto texts = std::make_shared<const Automaton>(std::move(*inside));
  free.language = texts;
  if (is_empty(free)) return;
  auto rule = StringRule::make(language(texts, TextForm::kPlain), limit_of(free.min), limit_of(free.max));
  if (rule == nullptr)
    return refuse("maxLength", node.conjunction, "too large beside minLength and a pattern");
  node.rules.texts.push_back(static_cast<uint32_t>(grammar_->strings.size()));
  grammar_->strings.push_back(std::move(rule));
}

NodeBuilder::ArrayDraft NodeBuilder::draft_array(NodeId id, const ArrayShape& shape) {
  ArrayDraft draft;
  const auto item = [&](ConjunctionId conjunction) {
    const NodeId value = node(conjunction, shape.unique ? Part::kOneForm : Part::kAll);
    drafts_[value].dependents.push_back(id);
    return value;
  };
  for (const ConjunctionId conjunction : shape.prefix) draft.prefix.push_back(item(conjunction));
  draft.rest = item(shape.rest);
  draft.min = shape.min;
  draft.max = shape.max;
  draft.unique = shape.unique;
  if (!shape.contains.empty()) {
    if (shape.contains.size() > 1 || !shape.prefix.empty() || shape.unique)
      refuse("contains", drafts_[id].conjunction,
             "not supported twice, beside uniqueItems or with a prefix of items");
    draft.contained = item(normaliser_.conjunctions().both(shape.rest, shape.contains[0]));
  }
  return draft;
}

// Whole numbers without their forms with a point, so that equal ones are equal texts; all forms where there are others.
AutomatonRef NodeBuilder::one_form_of(const AutomatonRef& numbers) {
  static const Automaton whole =
      *Automaton::unite(all_integers(), *compile_regex("-0|-?[0-9]+\\.0+", RegexMatch::kWhole));
  const auto others = Automaton::difference(*numbers, whole);
  auto integers = Automaton::intersection(*numbers, all_integers());
  if (!others || !others->empty() || !integers || integers->empty()) return numbers;
  return std::make_shared<const Automaton>(std::move(*integers));
}

AutomatonRef NodeBuilder::texts_of(const StringShape& shape) {
  if (shape.values) {
    std::vector<std::u32string> texts;
    for (const std::string& value : *shape.values) texts.push_back(code_points(value));
    auto automaton = Automaton::of(texts);
    return automaton ? std::make_shared<const Automaton>(std::move(*automaton)) : nullptr;
  }
  AutomatonRef result = shape.language == nullptr ? any_text_ : shape.language;
  if (shape.min > 0 || shape.max < kMaxCount) {
    const std::string bounds = shape.max < kMaxCount ? fmt::format("[^]{{{},{}}}", shape.min, shape.max)
                                                     : fmt::format("[^]{{{},}}", shape.min);
    Result<Automaton> lengths = compile_regex(bounds, RegexMatch::kWhole);
    if (!lengths) return nullptr;
    auto both = Automaton::intersection(*result, *lengths);
    if (!both) return nullptr;
    result = std::make_shared<const Automaton>(std::move(*both));
  }
  return result;
}

AutomatonRef NodeBuilder::allowed_names(const ObjectShape& shape) {
  AutomatonRef all;
  for (const ConjunctionId names : shape.names) {
    const Normaliser::Outcome shapes = normaliser_.shapes(names);
    if (!shapes) {
      error_ = shapes.error();
      return nullptr;
    }
    auto united = std::make_shared<const Automaton>();
    for (const Shape& one : **shapes) {
      if (one.type != JsonType::kString) continue;
      const AutomatonRef texts = texts_of(*one.string);
      auto both = texts == nullptr ? std::nullopt : Automaton::unite(*united, *texts);
      if (!both) {
        refuse("propertyNames", names, "the automaton of the names grows too large");
        return nullptr;
      }
      united = std::make_shared<const Automaton>(std::move(*both));
    }
    all = normaliser_.algebra().intersection(all, united);
  }
  return all;
}

std::optional<NodeBuilder::ObjectDraft> NodeBuilder::draft_object(NodeId id, const ObjectShape& shape) {
  ObjectDraft draft;
  draft.min = shape.min;
  draft.max = shape.max;
  const AutomatonRef allowed = allowed_names(shape);
  if (error_) return std::nullopt;
  std::vector<std::string> order;
  std::set<std::string> seen;
  const std::set<std::string> required(shape.required.begin(), shape.required.end());
  for (const auto& rules : shape.rules)
    for (const auto& [name, value] : rules->properties)
      if (seen.insert(name).second) order.push_back(name);
  for (const std::string& name : shape.required)
    if (seen.insert(name).second) order.push_back(name);
  const MemberIndex index(shape, normaliser_.conjunctions());
  for (const std::string& name : order) {
    ConjunctionId value = index.value_of(name);
    if (allowed != nullptr && allowed->label_of(code_points(name)) == 0) value = kNothing;
    MemberDraft member{name, node(value), required.contains(name)};
    if (member.required && value == kNothing) return std::nullopt;
    drafts_[member.value].dependents.push_back(id);
    draft.members.push_back(std::move(member));
  }
  if (drafts_.size() > kMaxMembers) refuse("properties", drafts_[id].conjunction, "too many members");
  draft_extras(id, shape, draft);
  if (draft.extras != nullptr && allowed != nullptr) {
    auto both = Automaton::product(*draft.extras, *allowed, [](uint32_t label, uint32_t named) -> uint32_t {
      return named != 0 ? label : 0;
    });
    if (!both) refuse("propertyNames", drafts_[id].conjunction, "the automaton of the names grows too large");
    if (both) draft.extras = std::make_shared<const Automaton>(std::move(*both));
  }
  return draft;
}

// Which patterns a name matches decides its value; each such combination is a label.
void NodeBuilder::draft_extras(NodeId id, const ObjectShape& shape, ObjectDraft& object) {
  std::vector<const std::pair<AutomatonRef, ConjunctionId>*> patterns;
  for (const auto& rules : shape.rules)
    for (const auto& pattern : rules->patterns) patterns.push_back(&pattern);
  if (patterns.size() > kMaxNamePatterns)
    return refuse("patternProperties", drafts_[id].conjunction, "too many patterns for one object");
  Automaton matched;
  for (size_t k = 0; k < patterns.size(); ++k) {
    auto both = Automaton::product(matched, *patterns[k]->first, [&](uint32_t before, uint32_t label) {
      return before | (label != 0 ? uint32_t{1} << k : 0);
    });
    if (!both)
      return refuse("patternProperties", drafts_[id].conjunction,
                    "the automaton of the names grows too large");
    matched = std::move(*both);
  }
  std::map<uint32_t, uint32_t> labels;
  const auto label_of = [&](uint32_t matches) {
    const auto [known, added] = labels.try_emplace(matches, 0);
    if (!added) return known->second;
    ConjunctionId value = kAnything;
    size_t k = 0;
    for (const auto& rules : shape.rules) {
      ConjunctionId own = kAnything;
      bool mentioned = false;
      for (const auto& pattern : rules->patterns)
        if ((matches >> k++ & 1) != 0) {
          own = normaliser_.conjunctions().both(own, pattern.second);
          mentioned = true;
        }
      value = normaliser_.conjunctions().both(value, mentioned ? own : rules->additional);
    }
    if (value == kNothing) return known->second;
    object.extra_values.push_back(node(value));
    drafts_[object.extra_values.back()].dependents.push_back(id);
    return known->second = static_cast<uint32_t>(object.extra_values.size());
  };
  if (patterns.empty()) {
    if (label_of(0) != 0) object.extras = any_text_;
  } else {
    object.extras = std::make_shared<const Automaton>(matched.relabelled(label_of));
  }
}

uint32_t NodeBuilder::literal(const AutomatonRef& texts) {
  const auto [known, added] =
      literal_ids_.try_emplace(texts, static_cast<uint32_t>(grammar_->literals.size()));
  if (added) {
    LiteralRule rule;
    rule.texts = texts;
    for (uint32_t byte = 0; byte < 256; ++byte) rule.class_of[byte] = texts->partition().class_of(byte);
    grammar_->literals.push_back(std::move(rule));
    automata_bytes_ += texts->bytes();
  }
  return known->second;
}

uint32_t NodeBuilder::literal(const std::vector<std::string>& texts) {
  const auto known = value_ids_.find(texts);
  if (known != value_ids_.end()) return known->second;
  std::vector<std::u32string> bytes;
  for (const std::string& text : texts) {
    std::u32string& symbols = bytes.emplace_back();
    for (const char byte : text) symbols.push_back(static_cast<uint8_t>(byte));
  }
  auto automaton = Automaton::of(bytes);
  if (!automaton) {
    refuse("enum", kAnything, "too many values");
    return 0;
  }
  const uint32_t id = literal(std::make_shared<const Automaton>(std::move(*automaton)));
  value_ids_.emplace(texts, id);
  return id;
}

std::shared_ptr<const TextLanguage> NodeBuilder::language(const AutomatonRef& automaton, TextForm form) {
  auto& language = languages_[{automaton, form}];
  if (language == nullptr) {
    language = std::make_shared<const TextLanguage>(*automaton, form);
    automata_bytes_ += language->bytes();
    if (automata_bytes_ > kMaxAutomataBytes)
      refuse("pattern", kAnything,
             fmt::format("all automata together take over {} bytes", kMaxAutomataBytes));
  }
  return language;
}

bool NodeBuilder::holds_value(const ArrayDraft& array) const {
  if (array.dead) return false;
  const auto fixed = static_cast<int64_t>(array.prefix.size());
  for (int64_t i = 0; i < std::min(array.min, fixed); ++i)
    if (!drafts_[array.prefix[static_cast<size_t>(i)]].productive) return false;
  // One item at least is to be what is contained; the others need not be there.
  if (array.contained != UINT32_MAX && (array.max < 1 || !drafts_[array.contained].productive)) return false;
  return array.min <= (array.contained != UINT32_MAX ? 1 : fixed) || drafts_[array.rest].productive;
}

bool NodeBuilder::holds_value(const ObjectDraft& object) const {
  return !object.dead && std::all_of(object.members.begin(), object.members.end(), [&](const MemberDraft& m) {
    return !m.required || drafts_[m.value].productive;
  });
}

bool NodeBuilder::holds_value(const NodeDraft& node) const {
  return !node.rules.literals.empty() || !node.rules.strings.empty() || !node.rules.texts.empty() ||
         std::any_of(node.arrays.begin(), node.arrays.end(), [&](const auto& a) { return holds_value(a); }) ||
         std::any_of(node.objects.begin(), node.objects.end(), [&](const auto& o) { return holds_value(o); });
}

void NodeBuilder::find_productive() {
  std::vector<NodeId> pending;
  for (NodeId id = 0; id < drafts_.size(); ++id) {
    drafts_[id].productive = false;
    pending.push_back(id);
  }
  while (!pending.empty()) {
    NodeDraft& node = drafts_[pending.back()];
    pending.pop_back();
    if (node.productive || !holds_value(node)) continue;
    node.productive = true;
    pending.insert(pending.end(), node.dependents.begin(), node.dependents.end());
  }
}

// Alternatives whose bounds cannot be met, now that it is known which values there are.
bool NodeBuilder::drop_impossible() {
  bool found = false;
  for (NodeDraft& node : drafts_) {
    for (ArrayDraft& array : node.arrays) {
      const auto dead = std::find_if(array.prefix.begin(), array.prefix.end(),
                                     [&](NodeId item) { return !drafts_[item].productive; });
      if (dead != array.prefix.end())
        array.max = std::min<int64_t>(array.max, dead - array.prefix.begin());
      else if (!drafts_[array.rest].productive)
        array.max = std::min(array.max, static_cast<int64_t>(array.prefix.size()));
      if (array.unique && array.max > 1 && !array.dead) {
        const std::optional<int64_t> distinct = distinct_items(array);
        if (!distinct)
          refuse("uniqueItems", node.conjunction,
                 "supported for strings, integers, true, false and null, which are not alternatives of one "
                 "another");
        array.max = std::min(array.max, distinct.value_or(kNoLimit));
      }
      if (array.dead || array.min <= array.max) continue;
      array.dead = found = true;
    }
    for (ObjectDraft& object : node.objects) {
      if (object.dead || (object.min == 0 && object.max == kNoLimit)) continue;
      int64_t required = 0;
      int64_t possible = 0;
      for (const MemberDraft& member : object.members) {
        required += member.required ? 1 : 0;
        possible += drafts_[member.value].productive ? 1 : 0;
      }
      bool enough = possible >= object.min;
      if (!enough && object.extras != nullptr) {
        const ObjectRule rule = finish_object(object);
        enough = rule.extra_capacity == UINT32_MAX || possible + int64_t{rule.extra_capacity} >= object.min;
      }
      if (enough && required <= object.max) continue;
      object.dead = found = true;
    }
  }
  return found;
}

void NodeBuilder::finish_node(NodeId id) {
  const NodeDraft& draft = drafts_[id];
  Node node = draft.rules;
  for (const ArrayDraft& array : draft.arrays)
    if (holds_value(array)) {
      node.arrays.push_back(static_cast<uint32_t>(grammar_->arrays.size()));
      grammar_->arrays.push_back(finish_array(array));
    }
  for (const ObjectDraft& object : draft.objects)
    if (holds_value(object)) {
      node.objects.push_back(static_cast<uint32_t>(grammar_->objects.size()));
      grammar_->objects.push_back(finish_object(object));
    }
  grammar_->nodes.push_back(std::move(node));
}

ArrayRule NodeBuilder::finish_array(const ArrayDraft& draft) const {
  return {draft.prefix,   draft.rest, limit_of(draft.min), limit_of(draft.max), draft.unique && draft.max > 1,
          draft.contained};
}

std::optional<int64_t> NodeBuilder::distinct_items(const ArrayDraft& draft) const {
  const NodeDraft& item = drafts_[draft.rest];
  if (!draft.prefix.empty() || item.rules.strings.size() > 1) return std::nullopt;
  for (const ArrayDraft& array : item.arrays)
    if (holds_value(array)) return std::nullopt;
  for (const ObjectDraft& object : item.objects)
    if (holds_value(object)) return std::nullopt;
  int64_t count = item.rules.strings.empty() ? 0 : kNoLimit;
  for (const uint32_t string : item.rules.strings) {
    const StringRule& rule = *grammar_->strings[string];
    const Automaton& texts = rule.language().automaton();
    if (!rule.bounded() && texts.longest(texts.start()) != Automaton::kUnbounded)
      count = texts.continuations(texts.start());
    else if (rule.has_maximum() && rule.free_characters(rule.start()) == 0)
      return std::nullopt;  // a pattern with a length: how many texts there are is not known
  }
  Automaton seen;
  for (const uint32_t literal : item.rules.literals) {
    const Automaton& texts = *grammar_->literals[literal].texts;
    const Automaton strings = *compile_regex("\".*", RegexMatch::kWhole);
    const auto others = Automaton::difference(texts, strings);
    const auto numbers = others ? Automaton::intersection(*others, all_numbers()) : std::nullopt;
    const auto odd = numbers ? Automaton::difference(*numbers, all_integers()) : std::nullopt;
    const auto again = Automaton::intersection(seen, texts);
    if (!odd || !odd->empty() || !again || !again->empty()) return std::nullopt;
    // A string that is given beside strings by rule might be the same.
    if (!item.rules.strings.empty() && !Automaton::intersection(texts, strings)->empty()) return std::nullopt;
    seen = *Automaton::unite(seen, texts);
    if (count != kNoLimit) count += texts.continuations(texts.start());
  }
  return count;
}

ObjectRule NodeBuilder::finish_object(const ObjectDraft& draft) {
  ObjectRule rule;
  std::vector<std::string> names;
  std::vector<std::string> forbidden;
  for (const MemberDraft& member : draft.members) {
    std::string name = encoded(code_points(member.name), TextForm::kJsonString);
    if (drafts_[member.value].productive) {
      names.push_back(std::move(name));
      rule.members.push_back({member.value, member.required});
    } else {
      forbidden.push_back(std::move(name));
    }
  }
  std::vector<std::string> key = names;
  key.emplace_back();
  key.insert(key.end(), forbidden.begin(), forbidden.end());
  auto& trie = tries_[std::move(key)];
  if (trie == nullptr) trie = std::make_shared<const NameTrie>(names, forbidden);
  rule.names = trie;
  rule.min = limit_of(draft.min);
  rule.max = limit_of(draft.max);
  if (draft.extras != nullptr) {
    AutomatonRef extras = draft.extras;
    if (std::any_of(draft.extra_values.begin(), draft.extra_values.end(),
                    [&](NodeId value) { return !drafts_[value].productive; }))
      extras = std::make_shared<const Automaton>(extras->relabelled([&](uint32_t label) -> uint32_t {
        return label != 0 && drafts_[draft.extra_values[label - 1]].productive ? label : 0;
      }));
    rule.extra_values = draft.extra_values;
    rule.extra_capacity = extras->continuations(extras->start());
    if (extras->longest(extras->start()) == Automaton::kUnbounded) {
      rule.extra_capacity = UINT32_MAX;
    } else if (rule.extra_capacity != UINT32_MAX) {
      for (const MemberDraft& member : draft.members)
        if (extras->label_of(code_points(member.name)) != 0) --rule.extra_capacity;
    }
    if (rule.extra_capacity > 0) rule.extras = language(extras);
  }
  rule.index();
  return rule;
}

}  // namespace ft::grammar
