// Comparisons of op outputs that say where and by how much they fail.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/op_cases.h"

namespace ft::test {

// Same bits in every output of every row.
testing::AssertionResult same_bits(const std::vector<RowOutput>& actual,
                                   const std::vector<RowOutput>& expected);

// Within `tolerances` (see OpCase) of the reference, all values finite. Choices may differ where the
// reference's scores are within the tolerance of the smallest chosen score.
testing::AssertionResult agrees(const std::vector<RowOutput>& actual, const std::vector<RowOutput>& reference,
                                const std::vector<Tolerance>& tolerances);

// |actual - golden| <= absolute + relative * |golden|; equal infinities count as equal.
testing::AssertionResult near_golden(const std::vector<float>& actual, const std::vector<float>& golden,
                                     double absolute, double relative);

// Mean |actual - golden| below `fraction` of the standard deviation of golden.
testing::AssertionResult near_on_average(const std::vector<float>& actual, const std::vector<float>& golden,
                                         double fraction);

// The same bits, up to a fraction of the elements, which may differ by `relative` of |golden| + `absolute`.
testing::AssertionResult mostly_equal(const std::vector<float>& actual, const std::vector<float>& golden,
                                      double fraction, double absolute, double relative);

}  // namespace ft::test
