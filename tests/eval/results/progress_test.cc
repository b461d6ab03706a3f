#include "eval/results/progress.h"

#include <gtest/gtest.h>

namespace ft::eval {
namespace {

TEST(Progress, SaysHowLongItStillTakes) {
  EXPECT_EQ(progress_line("cell 1 of 4", 0.0, 0.25, 20.0),
            "[#####---------------]  25 %  cell 1 of 4  0:20, about 1:00 left");
  EXPECT_EQ(progress_line("x", 0.0, 0.0, 3.0), "[--------------------]   0 %  x  0:03");
  EXPECT_EQ(progress_line("x", 0.0, 1.0, 3.0), "[####################] 100 %  x  0:03");
}

TEST(Progress, JudgesAResumedRunByWhatItDidItself) {
  // A half was done before; a quarter took ten seconds; so does the rest.
  EXPECT_EQ(progress_line("x", 0.5, 0.75, 10.0), "[###############-----]  75 %  x  0:10, about 0:10 left");
}

TEST(Progress, WritesDurationsAsClocksDo) {
  EXPECT_EQ(duration_text(7.4), "0:07");
  EXPECT_EQ(duration_text(720.0), "12:00");
  EXPECT_EQ(duration_text(3723.0), "1:02:03");
}

}  // namespace
}  // namespace ft::eval
