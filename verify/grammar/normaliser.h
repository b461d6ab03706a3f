// Turns schemas into their normal form (shapes.h), keyword by keyword.
//
// Negations (`not`, the else of an `if`, a branch of a oneOf that must not hold) may allow less than the
// schema does, never more: "some item that is not ..." and "some member that is not ..." of open lists have
// no shape.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "verify/grammar/keyword_reader.h"
#include "verify/grammar/schema_document.h"
#include "verify/grammar/shapes.h"

namespace ft::grammar {

class Normaliser {
 public:
  using Outcome = tl::expected<ShapesRef, SchemaError>;

  explicit Normaliser(const SchemaDocument& document) : document_(document), algebra_(conjunctions_) {}

  ConjunctionId root() { return conjunction(document_.root(), false); }
  // Memoised. Refuses what cannot be enforced, a reference to itself with nothing in between, and schemas
  // that take too much work.
  Outcome shapes(ConjunctionId id);
  Conjunctions& conjunctions() { return conjunctions_; }
  ShapeAlgebra& algebra() { return algebra_; }
  // A measure of what has been done so far.
  size_t work() const { return algebra_.work() + conjunctions_.size() + pattern_states_; }
  // A schema that contains `id`, for messages.
  SchemaPlace place_of(ConjunctionId id) const;

 private:
  using Literal = Conjunctions::Literal;

  ConjunctionId conjunction(const SchemaPlace& place, bool negative);
  Literal literal(const SchemaPlace& place, bool negative);
  Outcome shapes_of(Literal literal);
  Outcome shapes_of(const SchemaPlace& place, bool negative) { return shapes_of(literal(place, negative)); }
  Outcome budget_left(const SchemaPlace& place, Shapes shapes);

  // normaliser.cc: what a schema allows.
  Outcome positive(const SchemaPlace& place);
  Shapes direct(KeywordReader& reader);
  void apply(KeywordReader& reader, Shapes& shapes);
  void apply_one_of(KeywordReader& reader, Shapes& shapes);
  void apply_if(KeywordReader& reader, Shapes& shapes);
  void apply_dependencies(KeywordReader& reader, Shapes& shapes);
  void intersect(KeywordReader& reader, Shapes& shapes, const Outcome& with);
  // False for shapes that hold no value as far as `depth` levels tell.
  bool may_hold(const Shapes& shapes, int depth);
  bool may_hold(const Shape& shape, int depth);

  // type_shapes.cc: the keywords of one type.
  AutomatonRef number_texts(KeywordReader& reader, bool integer);
  std::optional<StringShape> string_shape(KeywordReader& reader);
  ArrayShape array_shape(KeywordReader& reader);
  ObjectShape object_shape(KeywordReader& reader);
  Shapes value_shapes(KeywordReader& reader, const std::vector<const JsonValue*>& values);
  AutomatonRef pattern(KeywordReader& reader, std::string_view keyword, const std::string& text);
  AutomatonRef format(std::string_view name);
  const JsonValue& constant(const JsonValue& value);

  // negation.cc: what a schema forbids.
  Outcome negative(const SchemaPlace& place);
  void negate_type(KeywordReader& reader, Shapes& shapes);
  void negate_values(KeywordReader& reader, Shapes& shapes);
  void negate_numbers(KeywordReader& reader, Shapes& shapes);
  void negate_strings(KeywordReader& reader, Shapes& shapes);
  void negate_arrays(KeywordReader& reader, Shapes& shapes);
  void negate_objects(KeywordReader& reader, Shapes& shapes);
  void negate_applicators(KeywordReader& reader, Shapes& shapes);
  void add(KeywordReader& reader, Shapes& shapes, const Outcome& more);

  const SchemaDocument& document_;
  Conjunctions conjunctions_;
  ShapeAlgebra algebra_;
  std::vector<SchemaPlace> schemas_;  // schema k of the literals 2 k and 2 k + 1
  std::map<const JsonValue*, uint32_t> schema_ids_;
  std::map<Literal, std::optional<Outcome>> literal_shapes_;  // empty while being made
  std::map<ConjunctionId, Outcome> conjunction_shapes_;
  std::map<std::string, AutomatonRef, std::less<>> automata_;  // of patterns, formats and bounds of numbers
  std::deque<JsonValue> constants_;
  std::set<Literal> lossy_literals_;  // negations that allow less than they should
  bool lossy_ = false;                // so is what is being made now
  size_t pattern_states_ = 0;
  int depth_ = 0;
};

// The keyword's types, a bit for each JsonType; `integer`: numbers must be integers. All where it is absent.
struct TypeSet {
  unsigned bits = 0;
  bool integer = false;
  bool has(JsonType type) const { return (bits >> static_cast<unsigned>(type) & 1) != 0; }
};
TypeSet read_types(KeywordReader& reader);

// A union of the shapes of one type, for building.
Shape shape_of(JsonType type);
Shape number_shape(AutomatonRef texts);
Shape string_shape_of(StringShape shape);
Shape array_shape_of(ArrayShape shape);
Shape object_shape_of(ObjectShape shape);

}  // namespace ft::grammar
