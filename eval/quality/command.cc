#include "eval/quality/command.h"

#include <algorithm>
#include <charconv>

#include "eval/accept/cell_runner.h"
#include "eval/generate_command.h"
#include "eval/loop_runner.h"
#include "eval/quality/checks.h"
#include "eval/report/write.h"
#include "eval/results/environment.h"
#include "eval/results/progress.h"

namespace ft::eval {

namespace {

// Rows of one forward call where whole sequences are read.
constexpr int64_t kChunk = 128;
constexpr double kShowSeconds = 0.2;

// A way to run that should change nothing.
struct Setting {
  std::string name;
  std::string drafter;
  int32_t rows = 0;
  int32_t concurrency = 1;
};

Result<Setting> parse_setting(const std::string& name) {
  const size_t first = name.find('/');
  const size_t second = first == std::string::npos ? first : name.find('/', first + 1);
  if (second != std::string::npos) {
    Setting setting{name, name.substr(0, first), 0, 0};
    const std::string rows = name.substr(first + 1, second - first - 1);
    const std::string concurrency = name.substr(second + 1);
    const auto number = [](const std::string& text, int32_t& value) {
      const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
      return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && value >= 1 &&
             value <= 1024;
    };
    if ((rows == "adaptive" || number(rows, setting.rows)) && number(concurrency, setting.concurrency))
      return setting;
  }
  return fail(ErrorCode::kInvalidArgument,
              "setting \"{}\": expected drafter/rows/concurrency, as in dspark/6/8 or auto/adaptive/1", name);
}

class QualityRun {
 public:
  QualityRun(const QualityOptions& options, Session session, std::vector<Prompt> prompts)
      : options_(options), session_(std::move(session)), prompts_(std::move(prompts)) {
    for (const Prompt& prompt : prompts_) tokens_.push_back(prompt.tokens);
  }

  Result<TokenLists> complete(const Setting& setting, double temperature,
                              const CellRunner::Advance& advance) {
    GenerateOptions generate;
    generate.prompts = options_.prompts;
    generate.max_tokens = options_.max_tokens;
    generate.temperature = temperature;
    generate.seed = options_.seed;
    generate.drafter = setting.drafter;
    generate.tree_nodes = setting.rows;
    generate.concurrency = setting.concurrency;
    const auto settings = engine_options(generate, session_.config(), tokens_);
    if (!settings) return tl::make_unexpected(settings.error());
    const auto runner = LoopRunner::make(*session_.backend, *session_.checkpoint, *settings);
    if (!runner) return tl::make_unexpected(runner.error());
    const auto requests = make_requests(generate, (*runner)->loop().options().context, tokens_);
    LoopRunner::Run run(**runner, requests, setting.concurrency);
    while (!run.done()) {
      if (auto going = run.go_on(kShowSeconds); !going) return tl::make_unexpected(going.error());
      advance(run.share_done());
    }
    auto result = run.result();
    if (!result) return tl::make_unexpected(result.error());
    TokenLists lists;
    for (Completion& completion : result->completions) lists.push_back(std::move(completion.tokens));
    return lists;
  }

  Model open_model(size_t longest) {
    CacheLimits limits;
    limits.context = static_cast<int64_t>(std::max<size_t>(2, longest));
    limits.rows = static_cast<int32_t>(std::min<int64_t>(kChunk, limits.context));
    return Model(*session_.backend, *session_.checkpoint, limits);
  }

  Result<Json> perplexity() {
    size_t longest = 0;
    for (const std::vector<int32_t>& tokens : tokens_) longest = std::max(longest, tokens.size());
    Model model = open_model(longest);
    const auto scores = score_sequences(model, tokens_, kChunk);
    if (!scores) return tl::make_unexpected(scores.error());
    return perplexity_figures(options_.prompts, *scores, options_.seed);
  }

  Result<Json> goldens() {
    const auto lists = read_token_lists(options_.golden_tokens);
    if (!lists) return tl::make_unexpected(lists.error());
    size_t longest = 0;
    for (const std::vector<int32_t>& tokens : *lists) longest = std::max(longest, tokens.size());
    Model model = open_model(longest);
    return golden_figures(model, options_.golden_tokens, options_.golden_logits, kChunk);
  }

  Result<std::vector<std::string>> replies(const TokenLists& completions) const {
    const auto tokenizer = open_tokenizer(options_.session.model);
    if (!tokenizer) return tl::make_unexpected(tokenizer.error());
    std::vector<std::string> texts;
    for (const std::vector<int32_t>& tokens : completions)
      texts.push_back((*tokenizer)->decode(tokens).value_or(""));
    return texts;
  }

  const std::vector<Prompt>& prompts() const { return prompts_; }
  const ModelConfig& config() const { return session_.config(); }

 private:
  const QualityOptions& options_;
  Session session_;
  std::vector<Prompt> prompts_;
  TokenLists tokens_;
};

Json configuration_json(const QualityOptions& options) {
  return {{"prompts", options.prompts},         {"max_tokens", options.max_tokens},
          {"temperature", options.temperature}, {"prompts_max", options.prompts_max},
          {"settings", options.settings},       {"golden_logits", options.golden_logits},
          {"mode", options.session.mode}};
}

}  // namespace

Result<ResultFile> run_quality_checks(const QualityOptions& options, std::FILE* progress_out, bool* same) {
  std::vector<Setting> settings;
  for (const std::string& name : options.settings) {
    auto setting = parse_setting(name);
    if (!setting) return tl::make_unexpected(setting.error());
    settings.push_back(std::move(*setting));
  }
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  auto model = model_json(options.session.model, session->config());
  if (!model) return tl::make_unexpected(model.error());
  auto all = load_prompts(options.prompts, session->config(), options.session.model);
  if (!all) return tl::make_unexpected(all.error());
  std::vector<Prompt> prompts;
  for (const size_t place : spread(all->size(), options.prompts_max))
    prompts.push_back(std::move((*all)[place]));
  QualityRun run(options, std::move(*session), std::move(prompts));
  Progress progress(progress_out);
  const double parts = static_cast<double>(settings.size()) + 1.0;
  const Setting plain{"plain", "none", 1, 1};
  const auto expected = run.complete(plain, options.temperature,
                                     [&](double done) { progress.show("plain decoding", done / parts); });
  if (!expected) return tl::make_unexpected(expected.error());
  Json checks;
  checks["same_tokens"] = Json::array();
  *same = true;
  for (size_t i = 0; i < settings.size(); ++i) {
    const auto got = run.complete(settings[i], options.temperature, [&](double done) {
      progress.show(settings[i].name, (static_cast<double>(i) + 1.0 + done) / parts);
    });
    if (!got) return tl::make_unexpected(got.error());
    const TokenComparison comparison = compare_tokens(*expected, *got);
    *same = *same && comparison.differ == 0;
    checks["same_tokens"].push_back({{"setting", settings[i].name},
                                     {"completions", got->size()},
                                     {"tokens", comparison.tokens},
                                     {"differ", comparison.differ}});
    progress.say(fmt::format("{}: {} tokens compared, {} differ", settings[i].name, comparison.tokens,
                             comparison.differ));
  }
  const bool has_answers =
      std::ranges::any_of(run.prompts(), [](const Prompt& p) { return !p.answer.empty(); });
  if (has_answers) {
    // Answers are greedy; where the comparison was, its completions are these.
    const auto greedy =
        options.temperature == 0.0 ? expected : run.complete({"", "auto", 0, 8}, 0.0, [](double) {});
    if (!greedy) return tl::make_unexpected(greedy.error());
    const auto texts = run.replies(*greedy);
    if (!texts) return tl::make_unexpected(texts.error());
    checks["answers"] = answer_figures(run.prompts(), *texts, options.seed);
  }
  auto perplexity = run.perplexity();
  if (!perplexity) return tl::make_unexpected(perplexity.error());
  checks["perplexity"] = std::move(*perplexity);
  if (!options.golden_logits.empty()) {
    auto goldens = run.goldens();
    if (!goldens) return tl::make_unexpected(goldens.error());
    checks["goldens"] = std::move(*goldens);
  }
  ResultFile result;
  result.kind = "quality";
  result.command = options.command;
  result.started = utc_now();
  result.code = code_json();
  result.hardware = hardware_json(options.session.backend);
  result.model = std::move(*model);
  result.seeds = {options.seed};
  result.configuration = configuration_json(options);
  for (const auto& [name, figures] : checks.items())
    result.rows.push_back({{"check", name}, {"figures", figures}});
  result.figures["checks"] = std::move(checks);
  return result;
}

Result<void> run_quality(const QualityOptions& options, std::FILE* out, bool* same) {
  const auto result = run_quality_checks(options, stderr, same);
  if (!result) return tl::make_unexpected(result.error());
  return write_result(*result, options.out, "quality", out);
}

}  // namespace ft::eval
