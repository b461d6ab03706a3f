#include "eval/identity_command.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "eval/generate_command.h"
#include "eval/report_file.h"

namespace ft::eval {

namespace {

// Prompts that cells take turns with: enough for variety, few enough to know their completions soon.
constexpr size_t kPrompts = 24;
// Long prompts span a page and more.
constexpr size_t kLongPrompt = 160;
// Long enough for two requests that were let in with a page to grow into to outgrow a cache that has room for
// one of the longest and a page more; where prefixes are to be found again as well, for a few pages more.
constexpr int64_t kLongCompletion = 560;
constexpr int64_t kSparePages = 1;
constexpr int64_t kPrefixPages = 5;
constexpr double kCanaryRate = 1.0;
// Tokens that a request of the grid emits, roughly, for sharing the budget out.
constexpr int64_t kTypicalTokens = 40;

// What one model has to say, and the ways to run it.
class ModelGrid {
 public:
  ModelGrid(const IdentityOptions& options, std::string model)
      : options_(options), model_(std::move(model)), samplings_(identity_samplings()) {}

  Result<void> open() {
    if (auto fine = open_threads(0, reference_session_); !fine) return fine;
    auto prompts = load_prompts(options_.prompts, config(), model_);
    if (!prompts) return tl::make_unexpected(prompts.error());
    std::vector<std::vector<int32_t>> chosen;
    // Spread over the file, so that all kinds of content are in.
    const size_t count = std::min(kPrompts, prompts->size());
    for (size_t i = 0; i < count; ++i)
      chosen.push_back(std::move((*prompts)[i * prompts->size() / count].tokens));
    prompts_ = identity_prompts(std::move(chosen), kLongPrompt);
    const draft::ModelDrafterRow* carried = draft::carried_drafter(reference_session_.checkpoint->weights());
    std::vector<IdentityCell> cells = identity_cells(carried == nullptr ? "" : std::string(carried->name));
    std::erase_if(cells, [&](const IdentityCell& cell) {
      return cell.name().find(options_.cells) == std::string::npos;
    });
    for (size_t i = 0; i < cells.size(); i += static_cast<size_t>(options_.every)) cells_.push_back(cells[i]);
    GenerateOptions plain;
    plain.drafter = "none";
    plain.tree_nodes = 1;
    plain.concurrency = 1;
    plain.prefix_cache_mib = 0;
    plain.max_tokens = std::max(options_.max_tokens, kLongCompletion);
    const auto settings = engine_options(plain, config(), prompts_);
    if (!settings) return tl::make_unexpected(settings.error());
    context_ = settings->context;
    auto engine =
        scheduler::Engine::create(*reference_session_.backend, *reference_session_.checkpoint, *settings);
    if (!engine) return tl::make_unexpected(engine.error());
    reference_ = std::move(*engine);
    return {};
  }

  const std::vector<IdentityCell>& cells() const { return cells_; }

  Result<IdentityResult> run(const IdentityCell& cell, size_t requests, size_t turn,
                             const std::string& state_dir) {
    const auto asked = identity_requests(cell, requests, turn, prompts_.size());
    if (auto known = complete_alone(asked); !known) return tl::make_unexpected(known.error());
    Session& session = sessions_[cell.threads];
    if (session.backend == nullptr)
      if (auto fine = open_threads(cell.threads, session); !fine) return tl::make_unexpected(fine.error());
    IdentityResult result;
    result.model = model_;
    result.cell = cell.name();
    std::atomic<int64_t> warnings{0};
    const auto settings = cell_options(cell, state_dir, warnings);
    if (!settings) return tl::make_unexpected(settings.error());
    {
      auto engine = scheduler::Engine::create(*session.backend, *session.checkpoint, *settings);
      if (!engine) return tl::make_unexpected(engine.error());
      const auto submitted = make_cell_requests(cell, asked);
      for (int pass = 0; pass < (cell.repeats ? 2 : 1); ++pass) {
        const auto run = run_requests(**engine, submitted, cell.concurrency);
        if (!run) return tl::make_unexpected(run.error());
        compare(asked, *run, result);
      }
      result.canary_checks = (*engine)->stats().canary_checks;
    }
    // Counted after the engine's thread has ended: the last step's check comes after its tokens.
    result.canary_mismatches = warnings.load();
    if (auto fine = check_purpose(cell, result); !fine) return tl::make_unexpected(fine.error());
    return result;
  }

 private:
  const ModelConfig& config() const { return reference_session_.config(); }

  Result<void> open_threads(int threads, Session& session) {
    SessionOptions options = options_.session;
    options.model = model_;
    options.cpu.threads = threads;
    auto opened = open_session(options);
    if (!opened) return tl::make_unexpected(opened.error());
    session = std::move(*opened);
    return {};
  }

  scheduler::GenerateRequest make_request(const IdentityRequest& asked) const {
    scheduler::GenerateRequest request;
    request.id =
        fmt::format("prompt {}, sampling {}, variant {}", asked.prompt, asked.sampling, asked.variant);
    request.prompt = prompts_[asked.prompt];
    request.sampling = samplings_[asked.sampling];
    request.sampling.seed = asked.seed();
    request.max_tokens = asked.longer ? kLongCompletion : options_.max_tokens;
    // Half of the requests go on behind the end, where the model is less sure of itself.
    request.ignore_eos = asked.longer || asked.prompt % 2 == 1;
    return request;
  }

  // Fills expected_ for requests that are not in it, each alone, without speculation.
  Result<void> complete_alone(const std::vector<IdentityRequest>& asked) {
    std::vector<IdentityRequest> missing;
    for (const IdentityRequest& request : asked)
      if (!expected_.contains(request)) missing.push_back(request);
    std::sort(missing.begin(), missing.end());
    missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
    std::vector<scheduler::GenerateRequest> requests;
    for (const IdentityRequest& request : missing) requests.push_back(make_request(request));
    auto run = run_requests(*reference_, requests, 1);
    if (!run) return tl::make_unexpected(run.error());
    for (size_t i = 0; i < missing.size(); ++i) expected_[missing[i]] = std::move(run->completions[i]);
    return {};
  }

  Result<scheduler::EngineOptions> cell_options(const IdentityCell& cell, const std::string& state_dir,
                                                std::atomic<int64_t>& warnings) const {
    GenerateOptions generate;
    generate.drafter = cell.drafter;
    generate.tree_nodes = cell.nodes;
    generate.tree = cell.chain ? "chain" : "best-first";
    generate.concurrency = cell.concurrency;
    generate.max_tokens = std::max(options_.max_tokens, kLongCompletion);
    generate.canary_rate = cell.canary ? kCanaryRate : 0.0;
    generate.state_dir = state_dir;
    if (cell.preempts)
      generate.kv_cache_tokens =
          (context_ / kPageTokens + kSparePages + (cell.repeats ? kPrefixPages : 0)) * kPageTokens;
    auto settings = engine_options(generate, config(), prompts_);
    if (!settings) return settings;
    settings->on_warning = [&warnings](const std::string& message) {
      warnings.fetch_add(1);
      fmt::print(stderr, "{}\n", message);
    };
    return settings;
  }

  std::vector<scheduler::GenerateRequest> make_cell_requests(
      const IdentityCell& cell, const std::vector<IdentityRequest>& asked) const {
    std::vector<scheduler::GenerateRequest> requests;
    uint64_t group = 0;
    for (size_t i = 0; i < asked.size(); ++i) {
      scheduler::GenerateRequest request = make_request(asked[i]);
      if (cell.forks) {
        if (asked[i].variant == 0) ++group;
        request.fork_group = group;
        request.fork_count = static_cast<int32_t>(kIdentityForkSize);
      }
      if (cell.mixed) mix(cell, i, request);
      requests.push_back(std::move(request));
    }
    return requests;
  }

  // Wishes that go round with periods that do not divide each other.
  static void mix(const IdentityCell& cell, size_t i, scheduler::GenerateRequest& request) {
    const std::string model = cell.drafter.substr(0, cell.drafter.find('+'));
    const std::string drafters[] = {cell.drafter, "ngram", model, "none"};
    request.speculation.drafter = draft::parse_drafter(drafters[i % 4]).value();
    constexpr int32_t kNodes[] = {0, 2, 5};
    if (kNodes[i % 3] > 0) request.speculation.max_nodes = kNodes[i % 3];
    if (i % 5 == 2) request.speculation.shape = draft::TreeShape::kChain;
    request.speculation.enabled = i % 7 != 6;
    request.priority = static_cast<int32_t>(i % 3);
  }

  void compare(const std::vector<IdentityRequest>& asked, const RequestRun& run,
               IdentityResult& result) const {
    for (size_t i = 0; i < asked.size(); ++i) {
      const Completion& expected = expected_.at(asked[i]);
      const Completion& got = run.completions[i];
      ++result.requests;
      result.tokens += static_cast<int64_t>(expected.tokens.size());
      const int64_t differing = differing_tokens(got.tokens, expected.tokens) +
                                (got.report.finish_reason != expected.report.finish_reason ? 1 : 0);
      if (differing > 0)
        fmt::print(stderr, "{}, {}: {} tokens differ\n", result.cell, make_request(asked[i]).id, differing);
      result.mismatches += differing;
      result.drafted += got.report.drafted;
      result.accepted += got.report.accepted;
      result.prefix_hits += got.report.cached_tokens > 0 ? 1 : 0;
      result.cached_tokens += got.report.cached_tokens;
      result.preemptions += got.report.preemptions;
    }
  }

  static Result<void> check_purpose(const IdentityCell& cell, const IdentityResult& result) {
    // A cache that is too small for the requests may drop what others could have found.
    const char* missed = cell.repeats && !cell.preempts && result.prefix_hits == 0
                             ? "never hit the prefix cache"
                         : cell.preempts && result.preemptions == 0 ? "never preempted a request"
                         : cell.canary && result.canary_checks == 0 ? "never checked a row"
                         : cell.forks && !cell.preempts && result.cached_tokens == 0 ? "never shared a prompt"
                                                                                     : nullptr;
    if (missed == nullptr) return {};
    return fail(ErrorCode::kInternal, "cell \"{}\" {}", result.cell, missed);
  }

  const IdentityOptions& options_;
  std::string model_;
  std::vector<verify::SamplingParams> samplings_;
  Session reference_session_;
  std::map<int, Session> sessions_;  // by threads
  std::vector<std::vector<int32_t>> prompts_;
  std::vector<IdentityCell> cells_;
  int64_t context_ = 0;
  std::unique_ptr<scheduler::Engine> reference_;  // after the session: it borrows from it
  std::map<IdentityRequest, Completion> expected_;
};

// A folder for what engines learn, so that each kind measures its costs once; removed at the end.
class StateFolder {
 public:
  StateFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "foretoken-identity-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~StateFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  StateFolder(const StateFolder&) = delete;
  StateFolder& operator=(const StateFolder&) = delete;
  const std::string& path() const { return path_; }  // "" if there is none: then every engine measures

 private:
  std::string path_;
};

void print_result(const IdentityResult& result, std::FILE* out) {
  fmt::print(out, "{:<44} {:>5} {:>7} {:>6} {:>8} {:>8} {:>5} {:>7} {:>8}\n", result.cell, result.requests,
             result.tokens, result.mismatches, result.drafted, result.accepted, result.prefix_hits,
             result.preemptions, result.canary_checks);
  std::fflush(out);
}

nlohmann::ordered_json to_json(const IdentityResult& result) {
  return {{"model", result.model},
          {"cell", result.cell},
          {"requests", result.requests},
          {"tokens", result.tokens},
          {"mismatches", result.mismatches},
          {"drafted", result.drafted},
          {"accepted", result.accepted},
          {"prefix_hits", result.prefix_hits},
          {"cached_tokens", result.cached_tokens},
          {"preemptions", result.preemptions},
          {"canary_checks", result.canary_checks},
          {"canary_mismatches", result.canary_mismatches}};
}

}  // namespace

Result<std::vector<IdentityResult>> run_identity_grid(
    const IdentityOptions& options, const std::function<void(const IdentityResult&)>& on_result) {
  if (options.tokens < 1 || options.max_tokens < 1 || options.every < 1)
    return fail(ErrorCode::kInvalidArgument, "tokens, max tokens and every: expected at least 1");
  std::vector<std::unique_ptr<ModelGrid>> grids;
  std::vector<std::string> models = {options.session.model};
  if (!options.second_model.empty()) models.push_back(options.second_model);
  size_t cells = 0;
  for (const std::string& model : models) {
    grids.push_back(std::make_unique<ModelGrid>(options, model));
    if (auto opened = grids.back()->open(); !opened) return tl::make_unexpected(opened.error());
    cells += grids.back()->cells().size();
  }
  if (cells == 0)
    return fail(ErrorCode::kInvalidArgument, "no cell of the grid has \"{}\" in its name", options.cells);
  const StateFolder state;
  const size_t requests =
      static_cast<size_t>(options.tokens / (static_cast<int64_t>(cells) * kTypicalTokens)) + 1;
  std::vector<IdentityResult> results;
  int64_t compared = 0;
  size_t turn = 0;
  for (bool first_pass = true; first_pass || compared < options.tokens; first_pass = false)
    for (const auto& grid : grids)
      for (const IdentityCell& cell : grid->cells()) {
        if (!first_pass && compared >= options.tokens) return results;
        auto result = grid->run(cell, requests, turn++, state.path());
        if (!result) return tl::make_unexpected(result.error());
        compared += result->tokens;
        results.push_back(std::move(*result));
        if (on_result) on_result(results.back());
      }
  return results;
}

Result<void> run_identity(const IdentityOptions& options, std::FILE* out, bool* clean) {
  *clean = true;
  std::string model;
  fmt::print(out, "{:<44} {:>5} {:>7} {:>6} {:>8} {:>8} {:>5} {:>7} {:>8}\n", "cell", "reqs", "tokens",
             "differ", "drafted", "accepted", "hits", "preempt", "canary");
  const auto results = run_identity_grid(options, [&](const IdentityResult& result) {
    if (result.model != model) fmt::print(out, "{}\n", model = result.model);
    print_result(result, out);
  });
  if (!results) return tl::make_unexpected(results.error());
  IdentityResult total;
  total.model = "all";
  total.cell = "total";
  nlohmann::ordered_json report;
  report["cells"] = nlohmann::ordered_json::array();
  for (const IdentityResult& result : *results) {
    report["cells"].push_back(to_json(result));
    *clean = *clean && result.clean();
    total.requests += result.requests;
    total.tokens += result.tokens;
    total.mismatches += result.mismatches;
    total.drafted += result.drafted;
    total.accepted += result.accepted;
    total.prefix_hits += result.prefix_hits;
    total.cached_tokens += result.cached_tokens;
    total.preemptions += result.preemptions;
    total.canary_checks += result.canary_checks;
    total.canary_mismatches += result.canary_mismatches;
  }
  print_result(total, out);
  fmt::print(out, "{} cells, {} tokens compared, {} differ; canary: {} rows checked, {} differ\n",
             results->size(), total.tokens, total.mismatches, total.canary_checks, total.canary_mismatches);
  report["total"] = to_json(total);
  return write_report(options.json, report.dump(2) + "\n");
}

}  // namespace ft::eval
