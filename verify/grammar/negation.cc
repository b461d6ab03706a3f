#include <algorithm>

#include "verify/grammar/normaliser.h"
#include "verify/grammar/string_format.h"

namespace ft::grammar {
namespace {

using Kind = JsonValue::Kind;

// Texts that an automaton does not accept.
AutomatonRef inverse(const Automaton& automaton) {
  return std::make_shared<const Automaton>(
      automaton.relabelled([](uint32_t label) -> uint32_t { return label == 0; }));
}

}  // namespace

// A schema is a conjunction of its keywords, so its negation is the union of theirs.
Normaliser::Outcome Normaliser::negative(const SchemaPlace& place) {
  if (place.schema->is(Kind::kBoolean))
    return std::make_shared<const Shapes>(place.schema->boolean ? Shapes() : all_shapes());
  if (!place.schema->is(Kind::kObject))
    return tl::make_unexpected(SchemaError{"", place.path, "a schema is an object, true or false"});
  KeywordReader reader(place);
  Shapes shapes;
  const JsonValue* ref = reader.get("$ref");
  if (ref == nullptr || !document_.ref_stands_alone()) {
    negate_type(reader, shapes);
    negate_values(reader, shapes);
    // The keywords of a type say something only where the value may have it.
    const TypeSet types = read_types(reader);
    if (types.has(JsonType::kNumber)) negate_numbers(reader, shapes);
    if (types.has(JsonType::kString)) negate_strings(reader, shapes);
    if (types.has(JsonType::kArray)) negate_arrays(reader, shapes);
    if (types.has(JsonType::kObject)) negate_objects(reader, shapes);
  }
  negate_applicators(reader, shapes);
  if (reader.error()) return tl::make_unexpected(*reader.error());
  return std::make_shared<const Shapes>(std::move(shapes));
}

void Normaliser::add(KeywordReader& reader, Shapes& shapes, const Outcome& more) {
  if (!more) return reader.refuse(more.error());
  shapes.insert(shapes.end(), (*more)->begin(), (*more)->end());
}

void Normaliser::negate_type(KeywordReader& reader, Shapes& shapes) {
  const TypeSet types = read_types(reader);
  for (const Shape& shape : all_shapes())
    if (!types.has(shape.type)) shapes.push_back(shape);
  if (types.has(JsonType::kNumber) && types.integer)
    shapes.push_back(number_shape(std::make_shared<const Automaton>(fractional_numbers())));
}

void Normaliser::negate_values(KeywordReader& reader, Shapes& shapes) {
  std::vector<const JsonValue*> values;
  if (const JsonValue* list = reader.array("enum"))
    for (const JsonValue& value : list->items) values.push_back(&value);
  if (reader.get("enum") != nullptr && reader.get("const") != nullptr)
    return reader.refuse("const", "negated beside enum");
  if (const JsonValue* value = reader.get("const")) values.push_back(value);
  if (values.empty()) return;
  bool null = true;
  Shape boolean = shape_of(JsonType::kBoolean);
  std::vector<Decimal> numbers;
  std::vector<std::u32string> strings;
  bool arrays = true;
  bool objects = true;
  for (const JsonValue* value : values) {
    if (value->is(Kind::kNull)) null = false;
    if (value->is(Kind::kBoolean)) (value->boolean ? boolean.with_true : boolean.with_false) = false;
    if (value->is(Kind::kString)) strings.push_back(code_points(value->text));
    if (value->is(Kind::kArray)) arrays = false;  // another array could be told apart; this leaves all out
    if (value->is(Kind::kObject)) objects = false;
    if (value->is(Kind::kNumber)) {
      if (const Result<Decimal> number = parse_decimal(value->text)) numbers.push_back(*number);
    }
  }
  if (null) shapes.push_back(shape_of(JsonType::kNull));
  if (boolean.with_false || boolean.with_true) shapes.push_back(boolean);
  if (numbers.empty()) {
    shapes.push_back(shape_of(JsonType::kNumber));
  } else if (const Result<Automaton> equal = equal_to(numbers, Zeros::kAll)) {
    if (auto others = Automaton::difference(plain_numbers(), *equal))
      shapes.push_back(number_shape(std::make_shared<const Automaton>(std::move(*others))));
  }
  StringShape others;
  if (!strings.empty()) {
    const auto equal = Automaton::of(strings);
    if (!equal) return reader.refuse("enum", "too many strings to exclude");
    others.language = inverse(*equal);
  }
  shapes.push_back(string_shape_of(std::move(others)));
  lossy_ |= !arrays || !objects;
  if (arrays) shapes.push_back(shape_of(JsonType::kArray));
  if (objects) shapes.push_back(shape_of(JsonType::kObject));
}

void Normaliser::negate_numbers(KeywordReader& reader, Shapes& shapes) {
  const auto push = [&](std::string_view keyword, const Result<Automaton>& texts) {
    if (!texts) return reader.refuse(keyword, texts.error().message);
    auto bounded = Automaton::intersection(plain_numbers(), *texts);
    if (!bounded) return reader.refuse(keyword, "the automaton of its numbers grows too large");
    if (!bounded->empty())
      shapes.push_back(number_shape(std::make_shared<const Automaton>(std::move(*bounded))));
  };
  const auto is_true = [&](std::string_view keyword) {
    const JsonValue* value = reader.get(keyword);
    return value != nullptr && value->is(Kind::kBoolean) && value->boolean;
  };
  if (const auto min = reader.decimal("minimum"))
    push("minimum", at_most(*min, !is_true("exclusiveMinimum")));
  if (const auto max = reader.decimal("maximum"))
    push("maximum", at_least(*max, !is_true("exclusiveMaximum")));
  if (const JsonValue* value = reader.get("exclusiveMinimum"); value != nullptr && !value->is(Kind::kBoolean))
    if (const auto over = reader.decimal("exclusiveMinimum")) push("exclusiveMinimum", at_most(*over, false));
  if (const JsonValue* value = reader.get("exclusiveMaximum"); value != nullptr && !value->is(Kind::kBoolean))
    if (const auto under = reader.decimal("exclusiveMaximum"))
      push("exclusiveMaximum", at_least(*under, false));
  if (const auto divisor = reader.decimal("multipleOf")) {
    const Result<Automaton> multiples = multiples_of(*divisor);
    if (!multiples) return reader.refuse("multipleOf", multiples.error().message);
    if (auto others = Automaton::difference(plain_numbers(), *multiples))
      push("multipleOf", Result<Automaton>(std::move(*others)));
  }
}

void Normaliser::negate_strings(KeywordReader& reader, Shapes& shapes) {
  const auto push = [&](StringShape shape) {
    if (!is_empty(shape)) shapes.push_back(string_shape_of(std::move(shape)));
  };
  if (const auto min = reader.count("minLength"); min && *min > 0) push({{}, nullptr, 0, *min - 1});
  if (const auto max = reader.count("maxLength"); max && *max < kNoLimit)
    push({{}, nullptr, *max + 1, kNoLimit});
  if (const JsonValue* text = reader.string("pattern"))
    if (const AutomatonRef automaton = pattern(reader, "pattern", text->text))
      push({{}, inverse(*automaton)});
  if (const JsonValue* name = reader.string("format")) {
    const FormatKind kind = format_kind(name->text);
    if (kind == FormatKind::kUnsupported)
      reader.refuse("format", fmt::format("the format \"{}\" is not supported", name->text));
    if (kind == FormatKind::kText) push({{}, inverse(format_texts(name->text))});
  }
}

void Normaliser::negate_arrays(KeywordReader& reader, Shapes& shapes) {
  const ArrayShape shape = array_shape(reader);
  if (shape.min > 0) shapes.push_back(array_shape_of({{}, kAnything, 0, shape.min - 1, false, {}}));
  if (shape.max < kNoLimit)
    shapes.push_back(array_shape_of({{}, kAnything, shape.max + 1, kNoLimit, false, {}}));
  const char* keyword = reader.get("prefixItems") != nullptr ? "prefixItems" : "items";
  const JsonValue* prefix = reader.get(keyword);
  for (size_t i = 0; i < shape.prefix.size(); ++i) {
    const ConjunctionId other = conjunction(reader.below(keyword, i, prefix->items[i]), true);
    if (other == kNothing) continue;
    ArrayShape differs;
    differs.prefix.assign(i, kAnything);
    differs.prefix.push_back(other);
    differs.min = static_cast<int64_t>(i + 1);
    shapes.push_back(array_shape_of(std::move(differs)));
  }
  if (const JsonValue* schema = reader.get("contains"); schema != nullptr && !shape.contains.empty())
    shapes.push_back(
        array_shape_of({{}, conjunction(reader.below("contains", *schema), true), 0, kNoLimit, false, {}}));
  lossy_ |= shape.unique || (shape.rest != kNothing && shape.rest != kAnything);
  if (shape.rest == kNothing)
    shapes.push_back(
        array_shape_of({{}, kAnything, static_cast<int64_t>(shape.prefix.size()) + 1, kNoLimit, false, {}}));
}

void Normaliser::negate_objects(KeywordReader& reader, Shapes& shapes) {
  const ObjectShape shape = object_shape(reader);
  const auto with_member = [&](const std::string& name, ConjunctionId value, bool required) {
    MemberRules rules;
    rules.properties.emplace_back(name, value);
    ObjectShape object;
    object.rules.push_back(std::make_shared<const MemberRules>(std::move(rules)));
    if (required) object.required.push_back(name);
    shapes.push_back(object_shape_of(std::move(object)));
  };
  lossy_ |= !shape.names.empty();
  for (const auto& rules : shape.rules) lossy_ |= !rules->patterns.empty() || rules->additional != kAnything;
  if (shape.min > 0) shapes.push_back(object_shape_of({{}, {}, {}, 0, shape.min - 1}));
  if (shape.max < kNoLimit) shapes.push_back(object_shape_of({{}, {}, {}, shape.max + 1, kNoLimit}));
  for (const std::string& name : shape.required) with_member(name, kNothing, false);
  if (const JsonValue* properties = reader.object("properties"))
    for (const auto& [name, schema] : properties->members) {
      const ConjunctionId other = conjunction(reader.below("properties", name, schema), true);
      if (other != kNothing) with_member(name, other, true);
    }
}

void Normaliser::negate_applicators(KeywordReader& reader, Shapes& shapes) {
  if (const JsonValue* ref = reader.string("$ref")) {
    const auto target = document_.resolve(reader.schema(), ref->text);
    if (!target) return reader.refuse("$ref", fmt::format("\"{}\" is nowhere in this schema", ref->text));
    add(reader, shapes, shapes_of(*target, true));
    if (document_.ref_stands_alone()) return;
  }
  if (const JsonValue* all = reader.array("allOf"))
    for (size_t i = 0; i < all->items.size(); ++i)
      add(reader, shapes, shapes_of(reader.below("allOf", i, all->items[i]), true));
  for (const char* keyword : {"anyOf", "oneOf"}) {
    const JsonValue* list = reader.array(keyword);
    if (list == nullptr) continue;
    Shapes none = all_shapes();
    for (size_t i = 0; i < list->items.size(); ++i)
      intersect(reader, none, shapes_of(reader.below(keyword, i, list->items[i]), true));
    shapes.insert(shapes.end(), none.begin(), none.end());
    if (std::string_view(keyword) == "anyOf") continue;
    for (size_t i = 0; i < list->items.size(); ++i)  // or two at once
      for (size_t j = 0; j < i; ++j) {
        Shapes two = all_shapes();
        intersect(reader, two, shapes_of(reader.below(keyword, i, list->items[i]), false));
        intersect(reader, two, shapes_of(reader.below(keyword, j, list->items[j]), false));
        shapes.insert(shapes.end(), two.begin(), two.end());
      }
  }
  if (const JsonValue* schema = reader.get("not"))
    add(reader, shapes, shapes_of(reader.below("not", *schema), false));
  if (const JsonValue* condition = reader.get("if"))
    for (const bool met : {true, false})
      if (const JsonValue* then = reader.get(met ? "then" : "else")) {
        Shapes broken = all_shapes();
        intersect(reader, broken, shapes_of(reader.below("if", *condition), !met));
        intersect(reader, broken, shapes_of(reader.below(met ? "then" : "else", *then), true));
        shapes.insert(shapes.end(), broken.begin(), broken.end());
      }
  for (const char* keyword : {"dependencies", "dependentRequired", "dependentSchemas"})
    if (const JsonValue* dependencies = reader.object(keyword))
      for (const auto& [name, wanted] : dependencies->members) {
        ObjectShape with;
        with.required = {name};
        Shapes broken = {object_shape_of(with)};
        Shapes missing;
        for (const JsonValue& other : wanted.items) {
          MemberRules rules;
          rules.properties.emplace_back(other.text, kNothing);
          missing.push_back(object_shape_of(
              {{std::make_shared<const MemberRules>(std::move(rules))}, {}, {}, 0, kNoLimit}));
        }
        if (wanted.is(Kind::kArray))
          broken = algebra_.intersection(broken, missing);
        else
          intersect(reader, broken, shapes_of(reader.below(keyword, name, wanted), true));
        shapes.insert(shapes.end(), broken.begin(), broken.end());
      }
}

}  // namespace ft::grammar
