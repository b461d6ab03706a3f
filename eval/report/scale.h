// From values to places on paper, and the round numbers that an axis is labelled with.
#pragma once

#include <string>
#include <vector>

namespace ft::eval {

class Scale {
 public:
  // Values from `low` to `high` on places from `from` to `to`. A logarithmic one needs low > 0. An empty
  // range is widened.
  Scale(double low, double high, double from, double to, bool logarithmic = false);

  double place(double value) const;
  double low() const { return low_; }
  double high() const { return high_; }
  // Round values inside the range, about `count` of them: 1, 2 and 5 times a power of ten; powers of two on a
  // logarithmic scale.
  std::vector<double> ticks(int count) const;

 private:
  double position(double value) const;
  double low_, high_, from_, to_;
  bool logarithmic_;
};

// A tick's value in as few digits as tell it from its neighbours: "0.25", "1,000".
std::string tick_text(double value, const std::vector<double>& ticks);
// `high` raised to the next round number, so that an axis ends on a tick.
double round_up(double high);

}  // namespace ft::eval
