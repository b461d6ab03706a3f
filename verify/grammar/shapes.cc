#include "verify/grammar/shapes.h"

#include <algorithm>

#include "verify/grammar/number_language.h"

namespace ft::grammar {

const Shapes& all_shapes() {
  static const Shapes shapes = [] {
    Shapes all(kJsonTypes);
    for (size_t i = 0; i < kJsonTypes; ++i) all[i].type = static_cast<JsonType>(i);
    all[static_cast<size_t>(JsonType::kNumber)].number = std::make_shared<const Automaton>(all_numbers());
    all[static_cast<size_t>(JsonType::kString)].string = std::make_shared<const StringShape>();
    all[static_cast<size_t>(JsonType::kArray)].array = std::make_shared<const ArrayShape>();
    all[static_cast<size_t>(JsonType::kObject)].object = std::make_shared<const ObjectShape>();
    return all;
  }();
  return shapes;
}

Conjunctions::Conjunctions() {
  add({});            // kAnything
  add({UINT32_MAX});  // kNothing
}

ConjunctionId Conjunctions::add(std::vector<Literal> literals) {
  const auto [place, added] = ids_.try_emplace(std::move(literals), static_cast<ConjunctionId>(sets_.size()));
  if (added) sets_.push_back(&place->first);
  return place->second;
}

ConjunctionId Conjunctions::both(ConjunctionId a, ConjunctionId b) {
  if (a == b || b == kAnything) return a;
  if (a == kAnything) return b;
  const ConjunctionId ids[] = {a, b};
  return all(ids);
}

ConjunctionId Conjunctions::all(std::span<const ConjunctionId> ids) {
  std::vector<Literal> united;
  for (const ConjunctionId id : ids) {
    if (id == kNothing) return kNothing;
    united.insert(united.end(), sets_[id]->begin(), sets_[id]->end());
  }
  std::sort(united.begin(), united.end());
  united.erase(std::unique(united.begin(), united.end()), united.end());
  for (size_t i = 0; i + 1 < united.size(); ++i)
    if (united[i] % 2 == 0 && united[i + 1] == united[i] + 1) return kNothing;
  return add(std::move(united));
}

bool holds(const StringShape& shape, const std::string& text) {
  if (shape.values) return std::find(shape.values->begin(), shape.values->end(), text) != shape.values->end();
  const std::u32string points = code_points(text);
  const auto length = static_cast<int64_t>(points.size());
  if (length < shape.min || length > shape.max) return false;
  return shape.language == nullptr || shape.language->label_of(points) != 0;
}

bool is_empty(const StringShape& shape) {
  if (shape.values) return shape.values->empty();
  if (shape.min > shape.max) return true;
  if (shape.language == nullptr) return false;
  const uint32_t start = shape.language->start();
  if (start == Automaton::kDead || shape.language->shortest(start) > shape.max) return true;
  const uint32_t longest = shape.language->longest(start);
  return longest != Automaton::kUnbounded && longest < shape.min;
}

MemberIndex::MemberIndex(const ObjectShape& shape, Conjunctions& conjunctions)
    : shape_(shape), conjunctions_(conjunctions), properties_(shape.rules.size()) {
  for (size_t r = 0; r < shape.rules.size(); ++r)
    for (const auto& [name, value] : shape.rules[r]->properties) {
      const auto [known, added] = properties_[r].try_emplace(name, value);
      if (!added) known->second = conjunctions.both(known->second, value);
    }
}

ConjunctionId MemberIndex::value_of(const std::string& name) const {
  std::vector<ConjunctionId> values;
  std::u32string points;
  for (size_t r = 0; r < shape_.rules.size(); ++r) {
    const MemberRules& rules = *shape_.rules[r];
    const auto property = properties_[r].find(name);
    bool mentioned = property != properties_[r].end();
    if (mentioned) values.push_back(property->second);
    if (!rules.patterns.empty() && points.empty()) points = code_points(name);
    for (const auto& [pattern, schema] : rules.patterns)
      if (pattern->label_of(points) != 0) {
        values.push_back(schema);
        mentioned = true;
      }
    if (!mentioned) values.push_back(rules.additional);
  }
  return conjunctions_.all(values);
}

Shapes ShapeAlgebra::intersection(const Shapes& a, const Shapes& b) {
  Shapes result;
  work_ += a.size() * b.size();
  for (const Shape& in_a : a)
    for (const Shape& in_b : b)
      if (in_a.type == in_b.type)
        if (auto both = intersection(in_a, in_b)) result.push_back(std::move(*both));
  return result;
}

AutomatonRef ShapeAlgebra::intersection(const AutomatonRef& a, const AutomatonRef& b) {
  if (a == b || b == nullptr) return a;
  if (a == nullptr) return b;
  AutomatonRef& product = products_[{a, b}];
  if (product == nullptr) {
    auto made = Automaton::intersection(*a, *b);
    if (!made) {
      overflow_ = true;
      made.emplace();
    }
    work_ += made->state_count();
    product = std::make_shared<const Automaton>(std::move(*made));
  }
  return product;
}

std::optional<Shape> ShapeAlgebra::intersection(const Shape& a, const Shape& b) {
  Shape result = a;
  const auto keep = [&](auto& member, auto made) {
    using Value = std::remove_const_t<std::remove_reference_t<decltype(*member)>>;
    if (made) member = std::make_shared<const Value>(std::move(*made));
    return made.has_value();
  };
  bool alive = true;
  switch (a.type) {
    case JsonType::kNull:
      break;
    case JsonType::kBoolean:
      result.with_false = a.with_false && b.with_false;
      result.with_true = a.with_true && b.with_true;
      alive = result.with_false || result.with_true;
      break;
    case JsonType::kNumber:
      result.number = a.number == all_shapes()[2].number   ? b.number
                      : b.number == all_shapes()[2].number ? a.number
                                                           : intersection(a.number, b.number);
      alive = !result.number->empty();
      break;
    case JsonType::kString:
      if (b.string != all_shapes()[3].string) alive = keep(result.string, intersection(*a.string, *b.string));
      break;
    case JsonType::kArray:
      if (b.array != all_shapes()[4].array) alive = keep(result.array, intersection(*a.array, *b.array));
      break;
    case JsonType::kObject:
      if (b.object != all_shapes()[5].object) alive = keep(result.object, intersection(*a.object, *b.object));
      break;
  }
  if (!alive) return std::nullopt;
  return result;
}

std::optional<StringShape> ShapeAlgebra::intersection(const StringShape& a, const StringShape& b) {
  StringShape result = a.values || !b.values ? a : b;
  const StringShape& other = a.values || !b.values ? b : a;
  if (result.values) {
    std::erase_if(*result.values, [&](const std::string& value) { return !holds(other, value); });
  } else {
    result.language = intersection(a.language, b.language);
    result.min = std::max(a.min, b.min);
    result.max = std::min(a.max, b.max);
  }
  if (is_empty(result)) return std::nullopt;
  return result;
}

std::optional<ArrayShape> ShapeAlgebra::intersection(const ArrayShape& a, const ArrayShape& b) {
  ArrayShape result;
  const auto item = [](const ArrayShape& shape, size_t i) {
    return i < shape.prefix.size() ? shape.prefix[i] : shape.rest;
  };
  for (size_t i = 0; i < std::max(a.prefix.size(), b.prefix.size()); ++i)
    result.prefix.push_back(conjunctions_.both(item(a, i), item(b, i)));
  result.rest = conjunctions_.both(a.rest, b.rest);
  result.min = std::max(a.min, b.min);
  result.max = std::min(a.max, b.max);
  result.unique = a.unique || b.unique;
  result.contains = a.contains;
  for (const ConjunctionId contained : b.contains)
    if (std::find(result.contains.begin(), result.contains.end(), contained) == result.contains.end())
      result.contains.push_back(contained);
  if (result.min > result.max) return std::nullopt;
  return result;
}

std::optional<ObjectShape> ShapeAlgebra::intersection(const ObjectShape& a, const ObjectShape& b) {
  ObjectShape result = a;
  for (const auto& rules : b.rules)
    if (std::find(a.rules.begin(), a.rules.end(), rules) == a.rules.end()) result.rules.push_back(rules);
  result.required.insert(result.required.end(), b.required.begin(), b.required.end());
  for (const ConjunctionId name : b.names)
    if (std::find(a.names.begin(), a.names.end(), name) == a.names.end()) result.names.push_back(name);
  result.min = std::max(a.min, b.min);
  result.max = std::min(a.max, b.max);
  work_ += result.rules.size() + result.required.size() + result.names.size();
  if (result.min > result.max) return std::nullopt;
  // A name that one side requires and the other forbids outright; the rest shows when nodes are made.
  for (const auto& rules : result.rules)
    for (const auto& [property, value] : rules->properties)
      if (value == kNothing &&
          std::find(result.required.begin(), result.required.end(), property) != result.required.end())
        return std::nullopt;
  return result;
}

}  // namespace ft::grammar
