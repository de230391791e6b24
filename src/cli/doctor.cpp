// SPDX-License-Identifier: GPL-2.0-or-later
//
// doctor
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/cli/context.h"
#include "src/cli/json.h"
#include "src/cli/output.h"
#include "src/cli/verbs.h"
#include "src/engine/doctor.h"

namespace mb::cli {
namespace {

std::string_view words_of(Weight weight) {
  switch (weight) {
    case Weight::stops: return "STOPS PACKETS";
    case Weight::may_stop: return "MAY STOP PACKETS";
    case Weight::remark: break;
  }
  return "good to know";
}

void print_finding(const Finding& finding) {
  print_line(fmt::format("{}  {}", bold(words_of(finding.weight)), dim(finding.kind)));
  print_line("  seen: " + finding.seen);
  print_line("  why:  " + finding.why);
  if (!finding.mend.empty()) print_line("  mend: " + finding.mend);
}

void examine(Context& context) {
  require_privilege();
  const auto findings = engine::examine(context.setup());
  bool stopped = false;
  for (const auto& finding : findings) stopped = stopped || finding.weight != Weight::remark;
  if (context.globals.json()) {
    print_line(json_of_findings(findings));
  } else {
    for (const auto& finding : findings) print_finding(finding);
    if (!stopped) print_line("nothing on this host stops packets of minibridge");
  }
  if (stopped) context.exit_status = 5;
}

}  // namespace

void add_doctor_verb(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("doctor", "what on this host stops packets, and how to mend it");
  verb->set_help_flag("-h,--help", "show this help");
  verb->footer(
      "Changes nothing. Exit status 0: nothing stops packets; 5: something does, or may.\n"
      "Example: minibridge doctor");
  verb->callback([&context] { examine(context); });
}

}  // namespace mb::cli
