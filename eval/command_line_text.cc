#include "eval/command_line.h"
#include "eval/encoding_commands.h"
#include "eval/schema_command.h"

namespace ft::eval {

void add_text_commands(CLI::App& app, Run& run, std::ostream& out, std::ostream& err) {
  struct Options {
    std::string cases;
    std::string tokenizer;
    std::string out;
  };
  const auto add = [&](const char* name, const char* help, bool with_tokenizer,
                       std::function<int(const Options&)> body) -> std::pair<CLI::App*, Options*> {
    auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(name, help);
    if (with_tokenizer)
      command->add_option("--tokenizer", options->tokenizer, "tokenizer.json or tokenizer.model")->required();
    command->add_option("--cases", options->cases, "JSON Lines of cases")->required();
    command->callback(
        [&run, options, body] { run = [options, body](std::FILE*) { return body(*options); }; });
    return {command, options.get()};
  };
  add("encode", "chat messages to prompt text", false,
      [&](const Options& options) { return run_encode(options.cases, out, err); });
  add("parse", "completion text to a message", false,
      [&](const Options& options) { return run_parse(options.cases, out, err); });
  add("tokenize", "text to token ids", true,
      [&](const Options& options) { return run_tokenize(options.tokenizer, options.cases, out, err); });
  add("detokenize", "token ids to text", true,
      [&](const Options& options) { return run_detokenize(options.tokenizer, options.cases, out, err); });
  const auto [schema, options] =
      add("schema", "which instances the grammars of JSON schemas accept, and the time of their masks", true,
          [&](const Options& o) { return run_schema(o.tokenizer, o.cases, o.out, out, err); });
  schema->add_option("--out", options->out, "JSON Lines of results")->required();
}

}  // namespace ft::eval
