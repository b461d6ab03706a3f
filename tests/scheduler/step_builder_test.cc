#include "scheduler/step_builder.h"

#include <gtest/gtest.h>

namespace ft::scheduler {
namespace {

// Of each request alone: not of the step, and not of the drafts behind what is known.
TEST(LongPrompts, AreKnownRowsOfOneRequestBeyondTheLimit) {
  std::vector<StepRequest> requests(5);
  int32_t row = 0;
  const auto place = [&](size_t i, int32_t known, int32_t drafts) {
    requests[i].first_row = row;
    requests[i].known = known;
    row += known + drafts;
  };
  place(0, 1, 70);  // decoding, with more drafts than the limit
  place(1, 64, 0);
  place(2, 65, 3);
  place(3, 0, 0);  // sits this step out
  place(4, 200, 0);
  const StepBatch batch{{}, {}, requests};
  std::vector<RowRange> ranges;
  find_long_prompts(batch, ranges);
  EXPECT_EQ(ranges, (std::vector<RowRange>{{135, 65}, {203, 200}}));
}

}  // namespace
}  // namespace ft::scheduler
