#include "server/generation/reply_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "server/generation/speculation_report.h"

namespace ft::server {

std::string summary_line(const ReplySummary& summary) {
  const double first_ms = summary.first_token_seconds.value_or(0.0) * 1e3;
  const double total_ms = summary.total_seconds * 1e3;
  const int64_t later = std::max<int64_t>(1, summary.usage.completion_tokens - 1);
  const double between_ms =
      summary.first_token_seconds ? (total_ms - first_ms) / static_cast<double>(later) : 0.0;
  return fmt::format(
      "{} {} {} prompt={} cached={} completion={} reasoning={} {} ttft={:.1f}ms tpot={:.2f}ms "
      "total={:.1f}ms{}{}",
      summary.request_id, summary.id, summary.outcome, summary.usage.prompt_tokens,
      summary.usage.cached_tokens, summary.usage.completion_tokens, summary.usage.reasoning_tokens,
      speculation_words(summary.report), first_ms, between_ms, total_ms,
      summary.error.empty() ? "" : " error=", summary.error);
}

}  // namespace ft::server
