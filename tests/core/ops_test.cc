// Every op on every backend: agreement with the reference, and rows that do not depend on their company.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/op_cases.h"

namespace ft::test {
namespace {

RowList first_rows(int64_t count) {
  RowList rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

std::vector<RowOutput> run(const OpCase& op_case, Backend& backend, const RowList& rows,
                           int64_t padding = 0) {
  BackendMemory memory(backend, padding);
  return op_case.run(memory, rows);
}

std::vector<RowOutput> pick_rows(const std::vector<RowOutput>& all, const RowList& rows) {
  std::vector<RowOutput> picked;
  for (const int64_t row : rows) picked.push_back(all[row]);
  return picked;
}

// One test for each op; a test goes through the backends, both numerics, and the op's cases.
class Ops : public testing::TestWithParam<OpCases> {
 protected:
  void for_each(const std::function<void(const OpCase&, const BackendUnderTest&, Numerics)>& body) {
    for (const BackendUnderTest& backend : backends_under_test()) {
      for (const Numerics numerics : kBothNumerics) {
        for (const OpCase& op_case : cases_) {
          SCOPED_TRACE(backend.label + ", " + numerics_name(numerics) + ", " + op_case.shape);
          body(op_case, backend, numerics);
        }
      }
    }
  }

  const std::vector<OpCase> cases_ = GetParam().make();
};

TEST_P(Ops, AgreeWithTheReference) {
  for_each([](const OpCase& op_case, const BackendUnderTest& under_test, Numerics numerics) {
    const auto backend = under_test.make(numerics);
    const auto reference = make_reference_backend(numerics);
    backend->reserve(op_case.config, kCaseRows);
    reference->reserve(op_case.config, kCaseRows);
    const auto expected = run(op_case, *reference, first_rows(kCaseRows));
    const auto& tolerances = numerics == Numerics::kExact ? op_case.exact : op_case.official;
    // Against itself, the reference is only asked for finite values, and for none.
    const bool itself = backend->name() == reference->name();
    for (const int64_t count : itself ? RowList{0, 33} : RowList{0, 1, 2, 3, 5, 8, 16, 33}) {
      EXPECT_TRUE(agrees(run(op_case, *backend, first_rows(count)), pick_rows(expected, first_rows(count)),
                         tolerances))
          << count << " rows";
    }
  });
}

TEST_P(Ops, RowsDoNotDependOnTheirCompany) {
  for_each([](const OpCase& op_case, const BackendUnderTest& under_test, Numerics numerics) {
    const auto backend = under_test.make(numerics);
    backend->reserve(op_case.config, kCaseRows);
    const auto all = run(op_case, *backend, first_rows(kCaseRows));
    std::vector<RowList> calls;
    for (int64_t row = 0; row < kCaseRows; ++row) calls.push_back({row});
    RowList reversed = first_rows(kCaseRows);
    std::reverse(reversed.begin(), reversed.end());
    calls.push_back(reversed);
    RowList odd;
    for (int64_t row = 1; row < kCaseRows; row += 2) odd.push_back(row);
    calls.push_back(odd);
    for (int64_t row = 0, size = 2; row < kCaseRows; row += size++) {  // runs of 2, 3, 4, 5, 6, 7 and 6 rows
      RowList part;
      for (int64_t i = row; i < std::min(row + size, kCaseRows); ++i) part.push_back(i);
      calls.push_back(part);
    }
    for (const RowList& rows : calls) {
      EXPECT_TRUE(same_bits(run(op_case, *backend, rows), pick_rows(all, rows)))
          << "rows " << testing::PrintToString(rows);
    }
  });
}

TEST_P(Ops, RespectTheStrideOfRows) {
  for_each([](const OpCase& op_case, const BackendUnderTest& under_test, Numerics numerics) {
    const auto backend = under_test.make(numerics);
    backend->reserve(op_case.config, kCaseRows);
    const auto rows = first_rows(5);
    EXPECT_TRUE(same_bits(run(op_case, *backend, rows, 12), run(op_case, *backend, rows)));
  });
}

TEST_P(Ops, RepeatThemselvesInAFamily) {
  for (const Numerics numerics : kBothNumerics) {
    for (const OpCase& op_case : cases_) {
      std::map<std::string, std::vector<RowOutput>> first;
      for (const BackendUnderTest& under_test : backends_under_test()) {
        SCOPED_TRACE(under_test.label + ", " + numerics_name(numerics) + ", " + op_case.shape);
        const auto backend = under_test.make(numerics);
        backend->reserve(op_case.config, kCaseRows);
        const auto once = run(op_case, *backend, first_rows(kCaseRows));
        EXPECT_TRUE(same_bits(run(op_case, *backend, first_rows(kCaseRows)), once)) << "a second run";
        const auto [found, is_first] = first.emplace(under_test.family, once);
        if (!is_first) {
          EXPECT_TRUE(same_bits(once, found->second)) << "another member of " << under_test.family;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, Ops, testing::ValuesIn(op_table()),
                         [](const auto& param_info) { return param_info.param.op; });

}  // namespace
}  // namespace ft::test
