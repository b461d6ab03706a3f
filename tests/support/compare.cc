#include "tests/support/compare.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

namespace ft::test {

using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

namespace {

bool equal_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

double norm(const std::vector<float>& values) {
  double sum = 0.0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

// Of each chosen candidate that the other did not choose,
// the reference's score must be next to the threshold.
AssertionResult choices_agree(const RowOutput& actual, const RowOutput& reference,
                              const Tolerance& tolerance) {
  if (actual.chosen == reference.chosen) return AssertionSuccess();
  const std::map<int32_t, float> scores(reference.scores.begin(), reference.scores.end());
  std::vector<float> all;
  for (const auto& [id, score] : reference.scores) all.push_back(score);
  double threshold = HUGE_VAL;
  for (const int32_t id : reference.chosen) {
    if (id >= 0) threshold = std::min(threshold, static_cast<double>(scores.at(id)));
  }
  const double rms = norm(all) / std::sqrt(static_cast<double>(std::max<size_t>(all.size(), 1)));
  const double allowed = tolerance.rms * rms + tolerance.relative * std::abs(threshold);
  const auto check = [&](const RowOutput& from, const RowOutput& other) -> AssertionResult {
    for (const int32_t id : from.chosen) {
      if (std::count(other.chosen.begin(), other.chosen.end(), id) != 0) continue;
      if (scores.count(id) == 0) return AssertionFailure() << "chose " << id << ", which is no candidate";
      if (std::abs(static_cast<double>(scores.at(id)) - threshold) > allowed) {
        return AssertionFailure() << "candidate " << id << " of score " << scores.at(id) << ", threshold "
                                  << threshold << ", is chosen by one side only";
      }
    }
    return AssertionSuccess();
  };
  if (AssertionResult result = check(actual, reference); !result) return result;
  return check(reference, actual);
}

}  // namespace

AssertionResult same_bits(const std::vector<RowOutput>& actual, const std::vector<RowOutput>& expected) {
  if (actual.size() != expected.size())
    return AssertionFailure() << actual.size() << " rows, not " << expected.size();
  for (size_t r = 0; r < actual.size(); ++r) {
    if (actual[r].values.size() != expected[r].values.size())
      return AssertionFailure() << "row " << r << ": outputs";
    for (size_t o = 0; o < actual[r].values.size(); ++o) {
      const auto& a = actual[r].values[o];
      const auto& b = expected[r].values[o];
      if (a.size() != b.size()) return AssertionFailure() << "row " << r << " output " << o << ": size";
      for (size_t i = 0; i < a.size(); ++i) {
        if (equal_bits(a[i], b[i])) continue;
        return AssertionFailure() << "row " << r << " output " << o << " element " << i << ": " << a[i]
                                  << " != " << b[i];
      }
    }
    if (actual[r].ints != expected[r].ints) {
      return AssertionFailure() << "row " << r << ": " << testing::PrintToString(actual[r].ints)
                                << " != " << testing::PrintToString(expected[r].ints);
    }
    if (actual[r].chosen != expected[r].chosen)
      return AssertionFailure() << "row " << r << ": another choice";
  }
  return AssertionSuccess();
}

AssertionResult agrees(const std::vector<RowOutput>& actual, const std::vector<RowOutput>& reference,
                       const std::vector<Tolerance>& tolerances) {
  if (actual.size() != reference.size())
    return AssertionFailure() << actual.size() << " rows, not " << reference.size();
  if (actual.empty()) return AssertionSuccess();
  for (size_t o = 0; o < reference[0].values.size(); ++o) {
    const Tolerance& tolerance = tolerances[std::min(o, tolerances.size() - 1)];
    double difference = 0.0;
    double total = 0.0;
    double largest = 0.0;
    for (size_t r = 0; r < actual.size(); ++r) {
      const auto& a = actual[r].values.at(o);
      const auto& b = reference[r].values.at(o);
      if (a.size() != b.size()) return AssertionFailure() << "row " << r << " output " << o << ": size";
      const double rms = norm(b) / std::sqrt(static_cast<double>(std::max<size_t>(b.size(), 1)));
      for (size_t i = 0; i < a.size(); ++i) {
        const double error = std::abs(static_cast<double>(a[i]) - b[i]);
        const double allowed = tolerance.rms * rms + tolerance.relative * std::abs(static_cast<double>(b[i]));
        if (!(error <= allowed) || !std::isfinite(a[i])) {
          return AssertionFailure() << "row " << r << " output " << o << " element " << i << ": " << a[i]
                                    << ", reference " << b[i] << ", off by " << error << ", allowed "
                                    << allowed;
        }
        difference += error * error;
        total += static_cast<double>(b[i]) * b[i];
        largest = std::max(largest, std::abs(static_cast<double>(b[i])));
      }
    }
    const double allowed = tolerance.l2 * std::sqrt(total) + tolerance.relative * largest;
    if (std::sqrt(difference) > allowed) {
      return AssertionFailure() << "output " << o << ": norm of the difference " << std::sqrt(difference)
                                << ", allowed " << allowed << ", norm " << std::sqrt(total);
    }
  }
  for (size_t r = 0; r < actual.size(); ++r) {
    if (actual[r].ints != reference[r].ints) {
      return AssertionFailure() << "row " << r << ": " << testing::PrintToString(actual[r].ints)
                                << ", reference " << testing::PrintToString(reference[r].ints);
    }
    if (AssertionResult result = choices_agree(actual[r], reference[r], tolerances[0]); !result) {
      return AssertionFailure() << "row " << r << ": " << result.message();
    }
  }
  return AssertionSuccess();
}

AssertionResult near_golden(const std::vector<float>& actual, const std::vector<float>& golden,
                            double absolute, double relative) {
  if (actual.size() != golden.size())
    return AssertionFailure() << actual.size() << " values, not " << golden.size();
  for (size_t i = 0; i < golden.size(); ++i) {
    if (equal_bits(actual[i], golden[i])) continue;
    const double error = std::abs(static_cast<double>(actual[i]) - golden[i]);
    const bool finite = std::isfinite(golden[i]);  // an infinity would allow any error
    if (!finite || !(error <= absolute + relative * std::abs(static_cast<double>(golden[i])))) {
      return AssertionFailure() << "element " << i << ": " << actual[i] << ", golden " << golden[i]
                                << ", off by " << error;
    }
  }
  return AssertionSuccess();
}

AssertionResult near_on_average(const std::vector<float>& actual, const std::vector<float>& golden,
                                double fraction) {
  if (actual.size() != golden.size())
    return AssertionFailure() << actual.size() << " values, not " << golden.size();
  double mean = 0.0;
  double square = 0.0;
  double error = 0.0;
  const auto count = static_cast<double>(golden.size());
  for (size_t i = 0; i < golden.size(); ++i) {
    mean += golden[i] / count;
    square += static_cast<double>(golden[i]) * golden[i] / count;
    error += std::abs(static_cast<double>(actual[i]) - golden[i]) / count;
  }
  const double deviation = std::sqrt(square - mean * mean);
  if (!(error <= fraction * deviation)) {
    return AssertionFailure() << "mean error " << error << " is " << error / deviation << " of the deviation "
                              << deviation << ", allowed " << fraction;
  }
  return AssertionSuccess();
}

AssertionResult mostly_equal(const std::vector<float>& actual, const std::vector<float>& golden,
                             double fraction, double absolute, double relative) {
  size_t different = 0;
  for (size_t i = 0; i < std::min(actual.size(), golden.size()); ++i) {
    if (!equal_bits(actual[i], golden[i]) && actual[i] != golden[i]) ++different;
  }
  if (static_cast<double>(different) > fraction * static_cast<double>(golden.size())) {
    return AssertionFailure() << different << " of " << golden.size()
                              << " elements differ, allowed is the fraction " << fraction;
  }
  return near_golden(actual, golden, absolute, relative);
}

}  // namespace ft::test
