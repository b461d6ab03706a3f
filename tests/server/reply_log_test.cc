#include "server/generation/reply_log.h"

#include <gtest/gtest.h>

namespace ft::server {
namespace {

ReplySummary summary() {
  ReplySummary summary;
  summary.id = "chatcmpl-1";
  summary.request_id = "req-1";
  summary.outcome = "stop";
  summary.usage = {.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 11, .reasoning_tokens = 3};
  summary.report.drafter = "dspark";
  summary.report.steps = 4;
  summary.report.drafted = 12;
  summary.report.accepted = 6;
  summary.report.accepted_histogram = {1, 1, 1, 1};
  summary.report.drafted_at_depth = {4, 4, 4};
  summary.report.accepted_at_depth = {3, 2, 1};
  summary.report.fallbacks = {0, 3, 2, 1};
  summary.report.preemptions = 2;
  summary.report.queue_ms = 0.5;
  summary.report.prefill_ms = 1.5;
  summary.report.draft_ms = 2.5;
  summary.report.verify_ms = 3.5;
  summary.report.commit_ms = 4.5;
  summary.first_token_seconds = 0.25;
  summary.total_seconds = 1.25;
  return summary;
}

TEST(ReplyLog, SaysEverythingInOneLine) {
  EXPECT_EQ(
      summary_line(summary()),
      "req-1 chatcmpl-1 stop prompt=10 cached=4 completion=11 reasoning=3 drafter=dspark steps=4 drafted=12 "
      "accepted=6 forced=0 mean=2.50 histogram=1,1,1,1 positions=3/4,2/4,1/4 "
      "fallbacks=disabled:0,not_worth:3,no_draft:2,no_room:1 preemptions=2 queue=0.5ms prefill=1.5ms "
      "draft=2.5ms verify=3.5ms commit=4.5ms ttft=250.0ms tpot=100.00ms total=1250.0ms");
}

TEST(ReplyLog, HasTheSameWordsWhereNothingHappened) {
  ReplySummary nothing;
  nothing.id = "cmpl-1";
  nothing.request_id = "req-1";
  nothing.outcome = "error";
  nothing.error = "the device is gone";
  EXPECT_EQ(
      summary_line(nothing),
      "req-1 cmpl-1 error prompt=0 cached=0 completion=0 reasoning=0 drafter=none steps=0 drafted=0 "
      "accepted=0 forced=0 mean=0.00 histogram=0 positions=0/0 "
      "fallbacks=disabled:0,not_worth:0,no_draft:0,no_room:0 preemptions=0 queue=0.0ms prefill=0.0ms "
      "draft=0.0ms verify=0.0ms commit=0.0ms ttft=0.0ms tpot=0.00ms total=0.0ms error=the device is gone");
}

}  // namespace
}  // namespace ft::server
