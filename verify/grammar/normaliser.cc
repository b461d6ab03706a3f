#include "verify/grammar/normaliser.h"

#include <algorithm>
#include <utility>

namespace ft::grammar {
namespace {

using Kind = JsonValue::Kind;

constexpr size_t kMaxShapes = 256;   // of one schema
constexpr size_t kMaxWork = 40'000;  // of the algebra
constexpr size_t kMaxConjunctions = 20'000;
constexpr int kMaxDepth = 200;  // of schemas that are expanded within one another
constexpr int kLookAhead = 3;   // levels of a value that tell branches apart

// Keywords that would change what is valid and that we do not enforce.
constexpr std::string_view kRefused[] = {
    "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef",
    "divisibleBy",           "disallow",         "extends",
};

bool is_ref(const JsonValue& schema) {
  const JsonValue* ref = schema.find("$ref");
  return ref != nullptr && ref->is(Kind::kString);
}

}  // namespace

Shape shape_of(JsonType type) {
  return all_shapes()[static_cast<size_t>(type)];
}

Shape number_shape(AutomatonRef texts) {
  Shape shape = shape_of(JsonType::kNumber);
  shape.number = std::move(texts);
  return shape;
}

Shape string_shape_of(StringShape shape) {
  Shape result = shape_of(JsonType::kString);
  result.string = std::make_shared<const StringShape>(std::move(shape));
  return result;
}

Shape array_shape_of(ArrayShape shape) {
  Shape result = shape_of(JsonType::kArray);
  result.array = std::make_shared<const ArrayShape>(std::move(shape));
  return result;
}

Shape object_shape_of(ObjectShape shape) {
  Shape result = shape_of(JsonType::kObject);
  result.object = std::make_shared<const ObjectShape>(std::move(shape));
  return result;
}

ConjunctionId Normaliser::conjunction(const SchemaPlace& place, bool negative) {
  const JsonValue& schema = *place.schema;
  if (schema.is(Kind::kBoolean)) return schema.boolean == negative ? kNothing : kAnything;
  if (schema.is(Kind::kObject) && schema.members.empty()) return negative ? kNothing : kAnything;
  return conjunctions_.of(literal(place, negative));
}

Normaliser::Literal Normaliser::literal(const SchemaPlace& place, bool negative) {
  const auto [known, added] = schema_ids_.try_emplace(place.schema, static_cast<uint32_t>(schemas_.size()));
  if (added) schemas_.push_back(place);
  return known->second * 2 + (negative ? 1 : 0);
}

SchemaPlace Normaliser::place_of(ConjunctionId id) const {
  const auto& literals = conjunctions_.literals(id);
  return literals.empty() || id == kNothing ? document_.root() : schemas_[literals.back() / 2];
}

Normaliser::Outcome Normaliser::budget_left(const SchemaPlace& place, Shapes shapes) {
  if (algebra_.overflow())
    return tl::make_unexpected(SchemaError{std::string(combining_keyword(*place.schema)), place.path,
                                           "the automata of its strings grow too large"});
  if (shapes.size() > kMaxShapes || algebra_.work() > kMaxWork || conjunctions_.size() > kMaxConjunctions)
    return tl::make_unexpected(SchemaError{std::string(combining_keyword(*place.schema)), place.path,
                                           "too many combinations of alternatives"});
  return std::make_shared<const Shapes>(std::move(shapes));
}

Normaliser::Outcome Normaliser::shapes(ConjunctionId id) {
  if (const auto known = conjunction_shapes_.find(id); known != conjunction_shapes_.end())
    return known->second;
  Outcome result = std::make_shared<const Shapes>(all_shapes());
  if (id == kNothing) result = std::make_shared<const Shapes>();
  const std::vector<Literal> literals = id == kNothing ? std::vector<Literal>() : conjunctions_.literals(id);
  for (size_t i = 0; i < literals.size() && result; ++i) {
    const Outcome one = shapes_of(literals[i]);
    if (!one || i == 0)
      result = one;
    else
      result = budget_left(schemas_[literals[i] / 2], algebra_.intersection(**result, **one));
  }
  conjunction_shapes_.emplace(id, result);
  return result;
}

Normaliser::Outcome Normaliser::shapes_of(Literal literal) {
  const SchemaPlace place = schemas_[literal / 2];
  const auto [known, added] = literal_shapes_.try_emplace(literal, std::nullopt);
  if (!added) {
    lossy_ |= lossy_literals_.contains(literal);
    if (known->second) return *known->second;
    return tl::make_unexpected(
        SchemaError{"$ref", place.path, "it refers to itself with nothing in between"});
  }
  if (depth_ >= kMaxDepth)
    return tl::make_unexpected(SchemaError{"", place.path, "schemas within schemas nested too deep"});
  ++depth_;
  const bool lossy_before = std::exchange(lossy_, false);
  Outcome result = literal % 2 == 0 ? positive(place) : negative(place);
  if (lossy_) lossy_literals_.insert(literal);
  lossy_ |= lossy_before;
  --depth_;
  if (result) result = budget_left(place, **result);
  literal_shapes_[literal] = result;
  return result;
}

Normaliser::Outcome Normaliser::positive(const SchemaPlace& place) {
  if (place.schema->is(Kind::kBoolean))
    return std::make_shared<const Shapes>(place.schema->boolean ? all_shapes() : Shapes());
  if (!place.schema->is(Kind::kObject))
    return tl::make_unexpected(SchemaError{"", place.path, "a schema is an object, true or false"});
  KeywordReader reader(place);
  Shapes shapes = all_shapes();
  if (!is_ref(*place.schema) || !document_.ref_stands_alone()) shapes = direct(reader);
  apply(reader, shapes);
  if (reader.error()) return tl::make_unexpected(*reader.error());
  return std::make_shared<const Shapes>(std::move(shapes));
}

// What the keywords say that name no other schema for the value itself.
Shapes Normaliser::direct(KeywordReader& reader) {
  const TypeSet types = read_types(reader);
  for (const std::string_view keyword : kRefused)
    if (reader.get(keyword) != nullptr) reader.refuse(keyword, "this keyword is not supported");
  Shapes shapes;
  for (const JsonType type : {JsonType::kNull, JsonType::kBoolean})
    if (types.has(type)) shapes.push_back(shape_of(type));
  if (types.has(JsonType::kNumber)) {
    if (const AutomatonRef texts = number_texts(reader, types.integer); texts && !texts->empty())
      shapes.push_back(number_shape(texts));
  }
  if (types.has(JsonType::kString)) {
    if (auto shape = string_shape(reader)) shapes.push_back(string_shape_of(std::move(*shape)));
  }
  if (types.has(JsonType::kArray)) {
    if (ArrayShape shape = array_shape(reader); shape.min <= shape.max)
      shapes.push_back(array_shape_of(std::move(shape)));
  }
  if (types.has(JsonType::kObject)) {
    if (ObjectShape shape = object_shape(reader); shape.min <= shape.max)
      shapes.push_back(object_shape_of(std::move(shape)));
  }
  if (const JsonValue* list = reader.array("enum")) {
    std::vector<const JsonValue*> values;
    for (const JsonValue& value : list->items) values.push_back(&value);
    shapes = algebra_.intersection(value_shapes(reader, values), shapes);
  }
  if (const JsonValue* value = reader.get("const"))
    shapes = algebra_.intersection(value_shapes(reader, {value}), shapes);
  return shapes;
}

void Normaliser::intersect(KeywordReader& reader, Shapes& shapes, const Outcome& with) {
  if (reader.error()) return;
  if (!with) return reader.refuse(with.error());
  shapes = algebra_.intersection(shapes, **with);
  if (shapes.size() > kMaxShapes || algebra_.work() > kMaxWork)
    reader.refuse(reader.combining(), "too many combinations of alternatives");
}

void Normaliser::apply(KeywordReader& reader, Shapes& shapes) {
  if (const JsonValue* ref = reader.string("$ref")) {
    const auto target = document_.resolve(reader.schema(), ref->text);
    if (!target) return reader.refuse("$ref", fmt::format("\"{}\" is nowhere in this schema", ref->text));
    intersect(reader, shapes, shapes_of(*target, false));
    if (document_.ref_stands_alone()) return;
  }
  if (const JsonValue* all = reader.array("allOf"))
    for (size_t i = 0; i < all->items.size(); ++i)
      intersect(reader, shapes, shapes_of(reader.below("allOf", i, all->items[i]), false));
  if (const JsonValue* any = reader.array("anyOf")) {
    Shapes united;
    for (size_t i = 0; i < any->items.size(); ++i)
      add(reader, united, shapes_of(reader.below("anyOf", i, any->items[i]), false));
    if (!reader.error()) shapes = algebra_.intersection(shapes, united);
  }
  apply_one_of(reader, shapes);
  if (const JsonValue* schema = reader.get("not"))
    intersect(reader, shapes, shapes_of(reader.below("not", *schema), true));
  apply_if(reader, shapes);
  apply_dependencies(reader, shapes);
}

// Each branch without the others; a branch that shares no value with it needs no mention.
void Normaliser::apply_one_of(KeywordReader& reader, Shapes& shapes) {
  const JsonValue* one = reader.array("oneOf");
  if (one == nullptr || reader.error()) return;
  const size_t count = one->items.size();
  std::vector<SchemaPlace> places;
  std::vector<Shapes> branches(count);
  for (size_t i = 0; i < count; ++i) {
    places.push_back(reader.below("oneOf", i, one->items[i]));
    branches[i] = shapes;
    intersect(reader, branches[i], shapes_of(places[i], false));
  }
  Shapes united;
  for (size_t i = 0; i < count && !reader.error(); ++i) {
    Shapes alone = branches[i];
    for (size_t j = 0; j < count && !alone.empty() && !reader.error(); ++j) {
      if (i == j || !may_hold(algebra_.intersection(alone, branches[j]), kLookAhead)) continue;
      const bool held = may_hold(alone, kLookAhead);
      const bool lossy_before = std::exchange(lossy_, false);
      intersect(reader, alone, shapes_of(places[j], true));
      // Nothing is left although the negation left something out: the branches cannot be told apart.
      if (lossy_ && held && !reader.error() && !may_hold(alone, kLookAhead))
        reader.refuse("oneOf",
                      fmt::format("branches {} and {} overlap, and what only the first allows cannot be "
                                  "told apart",
                                  i, j));
      lossy_ |= lossy_before;
    }
    united.insert(united.end(), alone.begin(), alone.end());
  }
  shapes = std::move(united);
}

void Normaliser::apply_if(KeywordReader& reader, Shapes& shapes) {
  const JsonValue* condition = reader.get("if");
  const JsonValue* yes = reader.get("then");
  const JsonValue* no = reader.get("else");
  if (condition == nullptr || (yes == nullptr && no == nullptr)) return;
  Shapes met = shapes;
  Shapes unmet = shapes;
  intersect(reader, met, shapes_of(reader.below("if", *condition), false));
  intersect(reader, unmet, shapes_of(reader.below("if", *condition), true));
  if (yes != nullptr) intersect(reader, met, shapes_of(reader.below("then", *yes), false));
  if (no != nullptr) intersect(reader, unmet, shapes_of(reader.below("else", *no), false));
  shapes = std::move(met);
  shapes.insert(shapes.end(), unmet.begin(), unmet.end());
}

// Where a member is: others are required, or a schema holds.
void Normaliser::apply_dependencies(KeywordReader& reader, Shapes& shapes) {
  for (const char* keyword : {"dependencies", "dependentRequired", "dependentSchemas"}) {
    const JsonValue* dependencies = reader.object(keyword);
    if (dependencies == nullptr) continue;
    for (const auto& [name, wanted] : dependencies->members) {
      MemberRules without;
      without.properties.emplace_back(name, kNothing);
      Shapes absent;
      for (const Shape& shape : all_shapes())
        if (shape.type != JsonType::kObject) absent.push_back(shape);
      absent.push_back(
          object_shape_of({{std::make_shared<const MemberRules>(std::move(without))}, {}, {}, 0, kNoLimit}));
      ObjectShape with;
      with.required = {name};
      if (wanted.is(Kind::kArray))
        for (const JsonValue& other : wanted.items) {
          if (!other.is(Kind::kString)) reader.refuse(keyword, "expected names");
          with.required.push_back(other.text);
        }
      Shapes present = {object_shape_of(std::move(with))};
      if (!wanted.is(Kind::kArray))
        intersect(reader, present, shapes_of(reader.below(keyword, name, wanted), false));
      absent.insert(absent.end(), present.begin(), present.end());
      if (reader.error()) return;
      shapes = algebra_.intersection(shapes, absent);
      if (shapes.size() > kMaxShapes) return reader.refuse(keyword, "too many combinations of members");
    }
  }
}

bool Normaliser::may_hold(const Shapes& shapes, int depth) {
  return std::any_of(shapes.begin(), shapes.end(),
                     [&](const Shape& shape) { return may_hold(shape, depth); });
}

bool Normaliser::may_hold(const Shape& shape, int depth) {
  if (depth == 0) return true;
  const auto value_may_be = [&](ConjunctionId id) {
    if (id == kAnything || id == kNothing) return id == kAnything;
    // A schema that is being expanded right now, or one that is refused: nothing is known.
    for (const Literal literal : conjunctions_.literals(id))
      if (const auto known = literal_shapes_.find(literal); known != literal_shapes_.end() && !known->second)
        return true;
    const Outcome value = shapes(id);
    return !value || may_hold(**value, depth - 1);
  };
  if (shape.type == JsonType::kArray) {
    const ArrayShape& array = *shape.array;
    const auto fixed = static_cast<int64_t>(array.prefix.size());
    for (int64_t i = 0; i < std::min(array.min, fixed); ++i)
      if (!value_may_be(array.prefix[static_cast<size_t>(i)])) return false;
    for (const ConjunctionId item : array.contains)
      if (fixed == 0 && !value_may_be(conjunctions_.both(array.rest, item))) return false;
    return array.min <= fixed || value_may_be(array.rest);
  }
  if (shape.type == JsonType::kObject) {
    const ObjectShape& object = *shape.object;
    const MemberIndex members(object, conjunctions_);
    for (const std::string& name : object.required)
      if (!value_may_be(members.value_of(name))) return false;
  }
  return true;
}

}  // namespace ft::grammar
