#include <algorithm>

#include "core/fnv.h"
#include "eval/accept/cell_runner.h"
#include "eval/load/acceptance_report.h"
#include "eval/load/chat_prompts.h"
#include "eval/load/server_kind.h"

namespace ft::eval {

namespace {

// Asks a server for the completions of a cell. What it says of each request is all that is known: no ranks,
// no predictions and no times of steps.
class ServerRunner final : public CellRunner {
 public:
  ServerRunner(const AcceptOptions& options, Url url, ServerKind server)
      : options_(options), url_(std::move(url)), server_(std::move(server)) {}

  Json model_json() const override {
    return {{"url", options_.url}, {"name", server_.model}, {"owned_by", server_.owned_by}};
  }
  Json hardware_json() const override { return {{"server", options_.url}}; }

  Result<void> prepare(const std::vector<GridCell>& cells) override {
    for (const GridCell& cell : cells)
      if (auto prompts = load(cell); !prompts) return tl::make_unexpected(prompts.error());
    return {};
  }

  Result<CellRun> run(const GridCell& cell, const Advance& advance) override {
    const auto prompts = load(cell);
    if (!prompts) return tl::make_unexpected(prompts.error());
    const std::vector<size_t> chosen = spread(prompts->size(), options_.prompts_max);
    const int32_t seeds = cell.temperature == 0.0 ? 1 : options_.seeds;
    std::vector<HttpCall> calls;
    for (int32_t pass = 0; pass < seeds; ++pass)
      for (size_t i = 0; i < chosen.size(); ++i) {
        ChatWish wish = wish_of(cell);
        wish.seed = options_.seed + static_cast<uint64_t>(pass) * chosen.size() + i;
        calls.push_back({url_.base + "/chat/completions", chat_body((*prompts)[chosen[i]], wish), 0.0});
      }
    CallLimits limits;
    limits.concurrency = options_.concurrency;
    size_t ended = 0;
    const std::vector<HttpReply> replies = run_calls(url_, calls, limits, [&](size_t) {
      advance(static_cast<double>(++ended) / static_cast<double>(calls.size()));
    });
    CellRun run;
    run.cell = cell;
    run.drafter = cell.drafter;
    for (const size_t place : chosen)
      run.prompts.push_back({static_cast<int64_t>(place), (*prompts)[place].domain, {}, ""});
    std::vector<uint64_t> hashes(chosen.size(), kFnvStart);
    for (size_t i = 0; i < replies.size(); ++i) {
      const HttpReply& reply = replies[i];
      const size_t prompt = i % chosen.size();
      if (reply.error != CallError::kNone)
        return fail(ErrorCode::kUnavailable, "{}: prompt {}: {}", options_.url, chosen[prompt],
                    reply.message);
      const Json body = Json::parse(reply.events.empty() ? "" : reply.events.front().data, nullptr, false);
      const auto counts = reported_acceptance(body);
      // A reply of one token has no verify step to report.
      if (!counts && tokens_of(body) > 1)
        return fail(
            ErrorCode::kUnavailable,
            "{}: the reply says nothing of acceptance; vLLM says it with --per-request-spec-decode-metrics "
            "summary, SGLang from 0.5.19 on",
            options_.url);
      if (counts) run.prompts[prompt].counts.add(*counts);
      hashes[prompt] = fnv1a(said_in(body), hashes[prompt]);
      run.seconds = std::max(run.seconds, reply.ended);
    }
    for (size_t i = 0; i < hashes.size(); ++i) run.prompts[i].digest = fmt::format("{:016x}", hashes[i]);
    return run;
  }

 private:
  Result<std::vector<ChatPrompt>> load(const GridCell& cell) const {
    const auto path = dataset_path(options_, cell.dataset);
    if (!path) return tl::make_unexpected(path.error());
    return read_chat_prompts(*path, *parse_thinking(cell.thinking));
  }

  ChatWish wish_of(const GridCell& cell) const {
    ChatWish wish;
    wish.model = server_.model;
    wish.max_tokens = options_.max_tokens;
    wish.temperature = cell.temperature;
    wish.acceptance_in_reply = server_.is_ours();
    wish.sglang_details = server_.is_sglang();
    if (!server_.is_ours()) return wish;
    if (cell.drafter == "none") {
      wish.speculation = {{"enabled", false}};
      return wish;
    }
    wish.speculation = {{"tree", cell.tree}};
    if (cell.drafter != "auto") wish.speculation["drafter"] = cell.drafter;
    if (cell.rows > 0) wish.speculation["max_nodes"] = cell.rows;
    return wish;
  }

  static int64_t tokens_of(const Json& body) {
    const Json usage = body.is_object() ? body.value("usage", Json()) : Json();
    return usage.is_object() ? usage.value("completion_tokens", int64_t{0}) : 0;
  }

  const AcceptOptions options_;
  Url url_;
  ServerKind server_;
};

Result<void> check_axes(const GridAxes& axes, bool ours) {
  const auto only = [&](bool fine, const char* axis, const char* value) -> Result<void> {
    if (fine) return {};
    return fail(ErrorCode::kInvalidArgument, "{} other than {} cannot be chosen on this server", axis, value);
  };
  if (auto fine = only(axes.depths == std::vector<int32_t>{0}, "--depths", "0"); !fine) return fine;
  if (auto fine = only(axes.rules == std::vector<std::string>{"coupled"}, "--rules", "coupled"); !fine)
    return fine;
  if (ours) return {};
  if (auto fine = only(axes.drafters == std::vector<std::string>{"auto"}, "--drafters", "auto"); !fine)
    return fine;
  if (auto fine = only(axes.rows == std::vector<int32_t>{0}, "--rows", "0"); !fine) return fine;
  return only(axes.trees.size() == 1, "--trees", "one, which says how it is configured,");
}

}  // namespace

Result<std::unique_ptr<CellRunner>> make_server_runner(const AcceptOptions& options) {
  const auto server = ask_server(options.url, options.model, {});
  if (!server) return tl::make_unexpected(server.error());
  for (const GridAxes& axes : options.grids)
    if (auto fine = check_axes(axes, server->is_ours()); !fine) return tl::make_unexpected(fine.error());
  if (options.phases > 1)
    return fail(ErrorCode::kInvalidArgument, "--phases needs a checkpoint: a server takes text, not tokens");
  return std::make_unique<ServerRunner>(options, *parse_url(options.url), *server);
}

}  // namespace ft::eval
