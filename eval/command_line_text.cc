#include "eval/command_line.h"
#include "eval/encoding_commands.h"

namespace ft::eval {

void add_text_commands(CLI::App& app, Run& run, std::ostream& out, std::ostream& err) {
  struct Options {
    std::string cases;
    std::string tokenizer;
  };
  const auto add = [&](const char* name, const char* help, bool with_tokenizer,
                       std::function<int(const Options&)> body) {
    auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(name, help);
    if (with_tokenizer)
      command->add_option("--tokenizer", options->tokenizer, "tokenizer.json or tokenizer.model")->required();
    command->add_option("--cases", options->cases, "JSON Lines of cases")->required();
    command->callback(
        [&run, options, body] { run = [options, body](std::FILE*) { return body(*options); }; });
  };
  add("encode", "chat messages to prompt text", false,
      [&](const Options& options) { return run_encode(options.cases, out, err); });
  add("parse", "completion text to a message", false,
      [&](const Options& options) { return run_parse(options.cases, out, err); });
  add("tokenize", "text to token ids", true,
      [&](const Options& options) { return run_tokenize(options.tokenizer, options.cases, out, err); });
  add("detokenize", "token ids to text", true,
      [&](const Options& options) { return run_detokenize(options.tokenizer, options.cases, out, err); });
}

}  // namespace ft::eval
