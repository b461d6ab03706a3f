#include <algorithm>

#include "verify/grammar/normaliser.h"
#include "verify/grammar/regex.h"
#include "verify/grammar/string_format.h"

namespace ft::grammar {
namespace {

using Kind = JsonValue::Kind;

constexpr int64_t kMaxPrefix = 1000;
constexpr int64_t kMaxHostname = 253;
constexpr size_t kMaxPatternStates = 30'000;  // of all patterns of a schema

}  // namespace

TypeSet read_types(KeywordReader& reader) {
  TypeSet types;
  const JsonValue* value = reader.get("type");
  if (value == nullptr) return {(1u << kJsonTypes) - 1, false};
  bool number = false;
  bool integer = false;
  const auto add = [&](const JsonValue& name) {
    constexpr std::string_view kNames[kJsonTypes] = {"null",   "boolean", "number",
                                                     "string", "array",   "object"};
    const auto known = std::find(std::begin(kNames), std::end(kNames), name.text);
    number |= name.text == "number";
    integer |= name.text == "integer";
    if (name.is(Kind::kString) && name.text == "integer")
      types.bits |= 1u << static_cast<unsigned>(JsonType::kNumber);
    else if (name.is(Kind::kString) && known != std::end(kNames))
      types.bits |= 1u << (known - std::begin(kNames));
    else
      reader.refuse("type", "expected the names of JSON types");
  };
  if (value->is(Kind::kArray))
    std::for_each(value->items.begin(), value->items.end(), add);
  else
    add(*value);
  types.integer = integer && !number;
  return types;
}

AutomatonRef Normaliser::pattern(KeywordReader& reader, std::string_view keyword, const std::string& text) {
  AutomatonRef& automaton = automata_["pattern " + text];
  if (automaton == nullptr) {
    Result<Automaton> made = compile_regex(text, RegexMatch::kSearch);
    if (!made) {
      reader.refuse(keyword, made.error().message);
      return nullptr;
    }
    pattern_states_ += made->state_count();
    if (pattern_states_ > kMaxPatternStates)
      reader.refuse(keyword, fmt::format("all patterns together have over {} states", kMaxPatternStates));
    automaton = std::make_shared<const Automaton>(std::move(*made));
  }
  return automaton;
}

AutomatonRef Normaliser::format(std::string_view name) {
  AutomatonRef& automaton = automata_["format " + std::string(name)];
  if (automaton == nullptr) automaton = AutomatonRef(AutomatonRef(), &format_texts(name));  // lives for ever
  return automaton;
}

AutomatonRef Normaliser::number_texts(KeywordReader& reader, bool integer) {
  auto min = reader.decimal("minimum");
  auto max = reader.decimal("maximum");
  std::optional<Decimal> over;
  std::optional<Decimal> under;
  // Draft 4 has true and false here, which make the other bound exclusive.
  const auto exclusive = [&](std::string_view keyword, std::optional<Decimal>& inclusive,
                             std::optional<Decimal>& bound) {
    const JsonValue* value = reader.get(keyword);
    if (value == nullptr || !value->is(Kind::kBoolean))
      bound = reader.decimal(keyword);
    else if (value->boolean)
      bound.swap(inclusive);
  };
  exclusive("exclusiveMinimum", min, over);
  exclusive("exclusiveMaximum", max, under);
  const auto divisor = reader.decimal("multipleOf");
  std::string key = integer ? "integer" : "number";
  const auto mention = [&](std::string_view what, const std::optional<Decimal>& value) {
    if (value) key += fmt::format(" {} {}", what, value->text());
  };
  mention(">=", min);
  mention(">", over);
  mention("<=", max);
  mention("<", under);
  mention("*", divisor);
  FormatKind format = FormatKind::kUnknown;
  if (const JsonValue* name = reader.string("format")) format = format_kind(name->text);
  if (format == FormatKind::kInt32) key += " int32";
  if (format == FormatKind::kInt64) key += " int64";
  AutomatonRef& texts = automata_[key];
  if (texts != nullptr || reader.error()) return texts;
  Automaton result = integer ? all_integers() : all_numbers();
  const auto keep = [&](std::string_view keyword, const Result<Automaton>& other) {
    if (!other) return reader.refuse(keyword, other.error().message);
    auto both = Automaton::intersection(result, *other);
    if (!both) return reader.refuse(keyword, "the automaton of its numbers grows too large");
    result = std::move(*both);
  };
  if (min) keep("minimum", at_least(*min, false));
  if (over) keep("exclusiveMinimum", at_least(*over, true));
  if (max) keep("maximum", at_most(*max, false));
  if (under) keep("exclusiveMaximum", at_most(*under, true));
  if (divisor) keep("multipleOf", multiples_of(*divisor));
  const auto within = [&](std::string_view low, std::string_view high) {
    keep("format", Result<Automaton>(all_integers()));
    keep("format", at_least(*parse_decimal(low), false));
    keep("format", at_most(*parse_decimal(high), false));
  };
  if (format == FormatKind::kInt32) within("-2147483648", "2147483647");
  if (format == FormatKind::kInt64) within("-9223372036854775808", "9223372036854775807");
  texts = std::make_shared<const Automaton>(std::move(result));
  return texts;
}

std::optional<StringShape> Normaliser::string_shape(KeywordReader& reader) {
  StringShape shape;
  shape.min = reader.count("minLength").value_or(0);
  shape.max = reader.count("maxLength").value_or(kNoLimit);
  if (const JsonValue* text = reader.string("pattern"))
    shape.language = pattern(reader, "pattern", text->text);
  if (const JsonValue* name = reader.string("format")) {
    const FormatKind kind = format_kind(name->text);
    if (kind == FormatKind::kUnsupported)
      reader.refuse("format", fmt::format("the format \"{}\" is not supported", name->text));
    if (kind == FormatKind::kText) shape.language = algebra_.intersection(shape.language, format(name->text));
    if (name->text == "hostname") shape.max = std::min(shape.max, kMaxHostname);
  }
  if (reader.error() || is_empty(shape)) return std::nullopt;
  return shape;
}

ArrayShape Normaliser::array_shape(KeywordReader& reader) {
  ArrayShape shape;
  const JsonValue* items = reader.get("items");
  const JsonValue* prefix = reader.array("prefixItems");
  const JsonValue* rest = items;
  std::string_view rest_keyword = "items";
  std::string_view prefix_keyword = "prefixItems";
  if (items != nullptr && items->is(Kind::kArray)) {  // before 2020-12
    prefix = items;
    prefix_keyword = "items";
    rest = reader.get("additionalItems");
    rest_keyword = "additionalItems";
  }
  if (prefix != nullptr)
    for (size_t i = 0; i < prefix->items.size(); ++i)
      shape.prefix.push_back(conjunction(reader.below(prefix_keyword, i, prefix->items[i]), false));
  if (rest != nullptr) shape.rest = conjunction(reader.below(rest_keyword, *rest), false);
  shape.min = reader.count("minItems").value_or(0);
  shape.max = reader.count("maxItems").value_or(kNoLimit);
  shape.unique = reader.flag("uniqueItems") && shape.max > 1;
  const int64_t times = reader.count("minContains").value_or(1);
  if (const JsonValue* schema = reader.get("contains")) {
    if (times > 1 || reader.get("maxContains") != nullptr)
      reader.refuse(times > 1 ? "minContains" : "maxContains",
                    "counting what contains matches is not supported");
    if (times == 1) {
      shape.contains.push_back(conjunction(reader.below("contains", *schema), false));
      shape.min = std::max<int64_t>(shape.min, 1);
    }
  }
  return shape;
}

ObjectShape Normaliser::object_shape(KeywordReader& reader) {
  ObjectShape shape;
  MemberRules rules;
  if (const JsonValue* properties = reader.object("properties"))
    for (const auto& [name, schema] : properties->members)
      rules.properties.emplace_back(name, conjunction(reader.below("properties", name, schema), false));
  if (const JsonValue* patterns = reader.object("patternProperties"))
    for (const auto& [text, schema] : patterns->members)
      if (AutomatonRef automaton = pattern(reader, "patternProperties", text))
        rules.patterns.emplace_back(std::move(automaton),
                                    conjunction(reader.below("patternProperties", text, schema), false));
  if (const JsonValue* additional = reader.get("additionalProperties"))
    rules.additional = conjunction(reader.below("additionalProperties", *additional), false);
  if (!rules.properties.empty() || !rules.patterns.empty() || rules.additional != kAnything)
    shape.rules.push_back(std::make_shared<const MemberRules>(std::move(rules)));
  if (const JsonValue* required = reader.get("required"); required != nullptr && required->is(Kind::kBoolean))
    reader.refuse("required", "expected an array of names (true and false are draft 3)");
  else
    shape.required = reader.names("required");
  if (const JsonValue* names = reader.get("propertyNames")) {
    const ConjunctionId id = conjunction(reader.below("propertyNames", *names), false);
    if (id != kAnything) shape.names.push_back(id);
  }
  shape.min = reader.count("minProperties").value_or(0);
  shape.max = reader.count("maxProperties").value_or(kNoLimit);
  return shape;
}

const JsonValue& Normaliser::constant(const JsonValue& value) {
  JsonValue& schema = constants_.emplace_back();
  schema.kind = Kind::kObject;
  schema.members.emplace_back("const", value);
  return schema;
}

Shapes Normaliser::value_shapes(KeywordReader& reader, const std::vector<const JsonValue*>& values) {
  Shapes shapes;
  StringShape strings;
  strings.values.emplace();
  std::vector<Decimal> numbers;
  Shape boolean = shape_of(JsonType::kBoolean);
  boolean.with_false = boolean.with_true = false;
  for (const JsonValue* value : values) switch (value->kind) {
      case Kind::kNull:
        shapes.push_back(shape_of(JsonType::kNull));
        break;
      case Kind::kBoolean:
        (value->boolean ? boolean.with_true : boolean.with_false) = true;
        break;
      case Kind::kNumber:
        if (const Result<Decimal> number = parse_decimal(value->text))
          numbers.push_back(*number);
        else
          reader.refuse("enum", number.error().message);
        break;
      case Kind::kString:
        strings.values->push_back(value->text);
        break;
      case Kind::kArray: {
        ArrayShape array;
        for (const JsonValue& item : value->items)
          array.prefix.push_back(conjunction(reader.below("const", constant(item)), false));
        array.min = array.max = static_cast<int64_t>(value->items.size());
        if (array.min > kMaxPrefix) reader.refuse("enum", "an array with over 1,000 items");
        shapes.push_back(array_shape_of(std::move(array)));
        break;
      }
      case Kind::kObject: {
        ObjectShape object;
        MemberRules rules;
        for (const auto& [name, member] : value->members) {
          rules.properties.emplace_back(name, conjunction(reader.below("const", constant(member)), false));
          object.required.push_back(name);
        }
        rules.additional = kNothing;
        object.rules.push_back(std::make_shared<const MemberRules>(std::move(rules)));
        shapes.push_back(object_shape_of(std::move(object)));
        break;
      }
    }
  if (boolean.with_false || boolean.with_true) shapes.push_back(boolean);
  if (!numbers.empty()) {
    Result<Automaton> texts = equal_to(numbers, Zeros::kShort);
    if (texts)
      shapes.push_back(number_shape(std::make_shared<const Automaton>(std::move(*texts))));
    else
      reader.refuse("enum", texts.error().message);
  }
  if (!strings.values->empty()) shapes.push_back(string_shape_of(std::move(strings)));
  return shapes;
}

}  // namespace ft::grammar
