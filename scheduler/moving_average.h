// A mean that remembers about the last sixteen values.
#pragma once

namespace ft::scheduler {

class MovingAverage {
 public:
  void add(double value) { mean_ += (value - mean_) / (mean_ > 0.0 ? kMemory : 1.0); }
  // 0 before the first value.
  double mean() const { return mean_; }

 private:
  static constexpr double kMemory = 16.0;
  double mean_ = 0.0;
};

}  // namespace ft::scheduler
