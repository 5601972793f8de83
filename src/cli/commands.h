// SPDX-License-Identifier: Apache-2.0
//
// Every command of `redoubt`, in the order of --help.
#pragma once

#include "cli/command.h"

namespace redoubt::cli {

void add_workspace_commands(CLI::App& app, Invocation& invocation);  // init, status, keys, identity
void add_doctor_command(CLI::App& app, Invocation& invocation);
void add_backup_commands(CLI::App& app, Invocation& invocation);  // backup, restore
void add_run_command(CLI::App& app, Invocation& invocation);
void add_secret_commands(CLI::App& app, Invocation& invocation);
void add_hub_commands(CLI::App& app, Invocation& invocation);
void add_model_commands(CLI::App& app, Invocation& invocation);
void add_merge_command(CLI::App& group, Invocation& invocation);  // below add_model_commands
void add_signature_commands(CLI::App& group, Invocation& invocation);  // sign, verify; below add_model_commands
void add_model_sbom_command(CLI::App& group, Invocation& invocation);  // below add_model_commands
void add_data_commands(CLI::App& app, Invocation& invocation);
void add_data_check_command(CLI::App& group, Invocation& invocation);  // below add_data_commands
void add_vault_commands(CLI::App& app, Invocation& invocation);  // named data, and how long it is kept
void add_vault_deletion_commands(CLI::App& group, Invocation& invocation);  // below add_vault_commands, as those that follow
void add_vault_policy_commands(CLI::App& group, Invocation& invocation);
void add_vault_replica_commands(CLI::App& group, Invocation& invocation);
void add_vault_erasure_commands(CLI::App& group, Invocation& invocation);
void add_image_commands(CLI::App& app, Invocation& invocation);
void add_image_package_commands(CLI::App& group, Invocation& invocation);  // below add_image_commands: scan, sbom, db
void add_engine_commands(CLI::App& app, Invocation& invocation);  // train, eval, generate, tokenize
void add_generate_command(CLI::App& app, Invocation& invocation);  // below add_engine_commands
void add_registry_commands(CLI::App& app, Invocation& invocation);
void add_runs_commands(CLI::App& app, Invocation& invocation);  // runs list, show, diff, plot
void add_deploy_commands(CLI::App& app, Invocation& invocation);  // deploy, rollback, endpoint, key
void add_top_command(CLI::App& app, Invocation& invocation);
void add_guard_commands(CLI::App& app, Invocation& invocation);  // guard sign, rules
void add_capture_commands(CLI::App& app, Invocation& invocation);  // capture list, export
void add_watch_commands(CLI::App& app, Invocation& invocation);   // monitor, alarm, incident
void add_audit_commands(CLI::App& app, Invocation& invocation);
void add_aws_commands(CLI::App& app, Invocation& invocation);      // aws up, diff, down, doctor, cost
void add_release_commands(CLI::App& app, Invocation& invocation);  // release bundle, verify

}  // namespace redoubt::cli
