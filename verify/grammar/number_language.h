// Texts of JSON numbers whose values meet a bound, as automata over bytes.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/error.h"
#include "verify/grammar/automaton.h"

namespace ft::grammar {

// An exact decimal: digits without leading zeros ("0" for none), a fraction without trailing zeros.
struct Decimal {
  bool negative = false;  // never for zero
  std::string whole = "0";
  std::string fraction;

  bool is_zero() const { return whole == "0" && fraction.empty(); }
  bool is_integer() const { return fraction.empty(); }
  std::string text() const;
};

// The value of a JSON number's text; kInvalidArgument for exponents over 400.
Result<Decimal> parse_decimal(std::string_view text);

// What we write: integers from -2^63 to 2^63 - 1; other numbers with at most 18 digits before and 22 behind
// the point, or one digit before the point and an exponent from -307 to 307.
const Automaton& all_numbers();
const Automaton& all_integers();  // written without a point
// As all_numbers, without exponents: the texts that the functions below tell apart.
const Automaton& plain_numbers();
const Automaton& fractional_numbers();  // plain and not integers

// Plain texts of values at least (greater than, if `exclusive`) or at most (less than) the bound. Digits are
// not limited: intersect with the above. kTooLarge for bounds with too many digits.
Result<Automaton> at_least(const Decimal& bound, bool exclusive);
Result<Automaton> at_most(const Decimal& bound, bool exclusive);
// Plain texts of multiples of a positive divisor, whose significant digits make at most 1,000.
Result<Automaton> multiples_of(const Decimal& divisor);
enum class Zeros { kShort, kAll };  // 5 and 5.0; or 5.000 too
// Plain texts of these values.
Result<Automaton> equal_to(std::span<const Decimal> values, Zeros zeros);

}  // namespace ft::grammar
