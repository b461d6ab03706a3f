// The normal form of a schema: a union of shapes, each of one JSON type, whose parts are again conjunctions
// of schemas.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "verify/grammar/automaton.h"

namespace ft::grammar {

using AutomatonRef = std::shared_ptr<const Automaton>;

// A conjunction of schemas and negated schemas (Conjunctions).
using ConjunctionId = uint32_t;
inline constexpr ConjunctionId kAnything = 0;
inline constexpr ConjunctionId kNothing = 1;

enum class JsonType : uint8_t { kNull, kBoolean, kNumber, kString, kArray, kObject };
inline constexpr size_t kJsonTypes = 6;

// Counts of characters, items and members: larger ones than the first are no limit as a maximum, and cannot
// be met as a minimum.
inline constexpr int64_t kMaxCount = 1'000'000'000;
inline constexpr int64_t kNoLimit = INT64_MAX;

struct StringShape {
  std::optional<std::vector<std::string>> values;  // exactly these; then nothing below is used
  AutomatonRef language;                           // null: any text
  int64_t min = 0;                                 // characters
  int64_t max = kNoLimit;
};

struct ArrayShape {
  std::vector<ConjunctionId> prefix;  // of the first items, whether they are there or not
  ConjunctionId rest = kAnything;
  int64_t min = 0;
  int64_t max = kNoLimit;
  bool unique = false;
  std::vector<ConjunctionId> contains;  // for each of these there is an item
};

// What one schema says of members. A name that is among `properties` or matches a pattern has all those
// values' schemas; any other name has `additional`.
struct MemberRules {
  std::vector<std::pair<std::string, ConjunctionId>> properties;
  std::vector<std::pair<AutomatonRef, ConjunctionId>> patterns;
  ConjunctionId additional = kAnything;
};

struct ObjectShape {
  std::vector<std::shared_ptr<const MemberRules>> rules;  // all hold
  std::vector<std::string> required;                      // a name may come twice
  std::vector<ConjunctionId> names;                       // every name is a string of these
  int64_t min = 0;
  int64_t max = kNoLimit;
};

struct Shape {
  JsonType type = JsonType::kNull;
  bool with_false = true;  // of a boolean
  bool with_true = true;
  AutomatonRef number;  // texts of a number
  std::shared_ptr<const StringShape> string;
  std::shared_ptr<const ArrayShape> array;
  std::shared_ptr<const ObjectShape> object;
};
using Shapes = std::vector<Shape>;
using ShapesRef = std::shared_ptr<const Shapes>;

// Every JSON value, one shape a type.
const Shapes& all_shapes();

// Schemas by number (literal 2 k is schema k, literal 2 k + 1 its negation) and conjunctions of them.
class Conjunctions {
 public:
  using Literal = uint32_t;
  Conjunctions();
  ConjunctionId of(Literal literal) { return add({literal}); }
  ConjunctionId both(ConjunctionId a, ConjunctionId b);
  ConjunctionId all(std::span<const ConjunctionId> ids);
  const std::vector<Literal>& literals(ConjunctionId id) const { return *sets_[id]; }
  size_t size() const { return sets_.size(); }

 private:
  ConjunctionId add(std::vector<Literal> literals);
  std::map<std::vector<Literal>, ConjunctionId> ids_;
  std::vector<const std::vector<Literal>*> sets_;
};

// Intersections of shapes. Automata that grow over their limits set `overflow`, and the result is empty.
class ShapeAlgebra {
 public:
  explicit ShapeAlgebra(Conjunctions& conjunctions) : conjunctions_(conjunctions) {}

  Shapes intersection(const Shapes& a, const Shapes& b);
  std::optional<Shape> intersection(const Shape& a, const Shape& b);
  AutomatonRef intersection(const AutomatonRef& a, const AutomatonRef& b);
  bool overflow() const { return overflow_; }
  // Pairs of shapes looked at and states made so far, the measure of the work.
  size_t work() const { return work_; }

 private:
  std::optional<StringShape> intersection(const StringShape& a, const StringShape& b);
  std::optional<ArrayShape> intersection(const ArrayShape& a, const ArrayShape& b);
  std::optional<ObjectShape> intersection(const ObjectShape& a, const ObjectShape& b);

  Conjunctions& conjunctions_;
  std::map<std::pair<AutomatonRef, AutomatonRef>, AutomatonRef> products_;
  bool overflow_ = false;
  size_t work_ = 0;
};

// What all rules of a shape, which must outlive it, say of members by name.
class MemberIndex {
 public:
  MemberIndex(const ObjectShape& shape, Conjunctions& conjunctions);
  ConjunctionId value_of(const std::string& name) const;

 private:
  const ObjectShape& shape_;
  Conjunctions& conjunctions_;
  std::vector<std::unordered_map<std::string_view, ConjunctionId>> properties_;  // of each of the rules
};

// Whether a text is one of the shape's.
bool holds(const StringShape& shape, const std::string& text);
// Whether no text is.
bool is_empty(const StringShape& shape);

}  // namespace ft::grammar
