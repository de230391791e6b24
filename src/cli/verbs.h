// SPDX-License-Identifier: GPL-2.0-or-later
//
// The families of verbs. Each adds its words to the command line; what they mean stands beside them.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace mb::cli {

class Context;

// A verb with its help: what it does, and under "Example: " how it is typed.
CLI::App* add_verb(CLI::App& family, const std::string& name, const std::string& about, const std::string& example);

void add_run_verb(CLI::App& app, Context& context);           // run
void add_create_verb(CLI::App& app, Context& context);        // create
void add_exec_verb(CLI::App& app, Context& context);          // exec
void add_container_verbs(CLI::App& app, Context& context);    // ps, start, stop, restart, kill, rm, logs, port, wait
void add_network_verbs(CLI::App& app, Context& context);      // network …
void add_connect_verbs(CLI::App& network, Context& context);  // network connect, disconnect
void add_publish_verbs(CLI::App& app, Context& context);      // publish, unpublish
void add_inspect_verb(CLI::App& app, Context& context);       // inspect
void add_maintenance_verbs(CLI::App& app, Context& context);  // plan, repair, rules, down, version
void add_lab_verbs(CLI::App& app, Context& context);          // lab …
void add_doctor_verb(CLI::App& app, Context& context);        // doctor
void add_echo_verb(CLI::App& app, Context& context);          // echo
void add_scenario_verbs(CLI::App& app, Context& context);     // scenario …

}  // namespace mb::cli
