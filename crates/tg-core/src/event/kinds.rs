//! The one table of event kinds: wire word, category, when it is written, its metadata, its sentence.
//!
//! Adding a kind is adding a line here (and blessing `docs/events.md`). Rendering lives in `event`.
//!
//! Sentence templates: `{key}` shows a metadata value; `[…]` is dropped as a whole when a key inside
//! it is absent, so a sentence never shows a brace or a dangling word. A placeholder outside brackets is
//! an error that a test finds.

use crate::status::words;

words! {
    /// What area of work an event belongs to; a filter for people.
    Category {
        /// Projects and their set-up.
        Onboarding = "onboarding",
        /// Policy packs, findings, clarifications.
        Policy = "policy",
        /// Loop policies.
        Loop = "loop",
        /// Trigger policies.
        Trigger = "trigger",
        /// Judging steps.
        Qa = "qa",
        /// Branches, pushes, PR/MR.
        Git = "git",
        /// Checks and webhooks.
        Ci = "ci",
        /// Tokens, cost, models.
        Budget = "budget",
        /// Spec audits, tokens, worker routes.
        Audit = "audit",
        /// A run as a whole.
        Run = "run",
        /// One step.
        Step = "step",
        /// Queued work.
        Job = "job",
    }
}

macro_rules! kinds {
    ($($variant:ident $word:literal $category:ident $when:literal [$($key:literal)*] $template:literal;)*) => {
        words! {
            /// What happened. Closed: nobody outside can choose a word.
            EventKind {
                $(#[doc = $when] $variant = $word,)*
            }
        }

        impl EventKind {
            /// Area of work.
            pub const fn category(self) -> Category {
                match self { $(Self::$variant => Category::$category,)* }
            }

            /// When it is written.
            pub const fn when(self) -> &'static str {
                match self { $(Self::$variant => $when,)* }
            }

            /// Metadata keys it may carry besides the common ones (`COMMON_KEYS`).
            pub const fn keys(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($key),*],)* }
            }

            /// Template of the sentence a person reads.
            pub const fn template(self) -> &'static str {
                match self { $(Self::$variant => $template,)* }
            }
        }
    };
}

/// Keys any event may carry.
pub const COMMON_KEYS: &[&str] =
    &["request_id", "job_id", "spec_hash", "actor", "transitions", "step_name", "late_result", "truncated"];

kinds! {
    ProjectCreated "project_created" Onboarding "A project was created." ["fields" "name" "git_url"] "Project created[: {name}]";
    ProjectUpdated "project_updated" Onboarding "A project was changed." ["fields"] "Project updated[: {fields}]";
    ProjectArchived "project_archived" Onboarding "A project was archived." ["fields"] "Project archived";
    ProjectSecretSet "project_secret_set" Onboarding "A project secret was stored." ["key"] "Secret[ {key}] set";
    ProjectSecretRemoved "project_secret_removed" Onboarding "A project secret was removed." ["key"] "Secret[ {key}] removed";
    ProjectTokenRotated "project_token_rotated" Onboarding "The project token was replaced." ["key"] "Project token replaced";
    PolicyPackSaved "policy_pack_saved" Policy "A policy pack was saved." ["key" "version" "hash_before" "hash_after"] "Policy pack saved[: {key}@{version}]";
    PolicyPackDeprecated "policy_pack_deprecated" Policy "A policy pack was deprecated." ["key" "version" "hash_before" "hash_after" "replacement"] "Policy pack deprecated[: {key}@{version}][, use {replacement} instead]";
    PolicyChanged "policy_changed" Policy "The policy of a project was changed." ["changed" "policy_effective_hash" "policy_effective_hash_before" "policy_effective_hash_after"] "Policy changed[: {changed}]";
    ClarificationCreated "clarification_created" Policy "A question was asked." ["scope" "key" "blocking"] "Question asked[: {key}]";
    ClarificationAnswered "clarification_answered" Policy "A question was answered." ["scope" "key" "blocking" "answered_by"] "Question answered[: {key}][ by {answered_by}]";
    ProtocolCreated "protocol_created" Run "A run was created." ["fields" "protocol_name" "engine" "base_branch" "source"] "Run created[: {protocol_name}]";
    ProtocolUpdated "protocol_updated" Run "A run was changed by hand." ["fields"] "Run updated[: {fields}]";
    StepCreated "step_created" Step "A step was created by hand." ["step_index"] "Step created[: {step_name}]";
    StepUpdated "step_updated" Step "A step was changed by hand." ["step_index" "fields"] "Step updated[: {step_name}]";
    SetupEnqueued "setup_enqueued" Onboarding "Set-up was queued." [] "Set-up queued";
    SetupStarted "setup_started" Onboarding "A set-up job began." ["git_url" "local_path"] "Set-up started";
    SetupRepoPresent "setup_repo_present" Onboarding "The repository is already there." ["path"] "Repository found[ at {path}]";
    SetupPendingClone "setup_pending_clone" Onboarding "The repository is absent and cloning is off." ["git_url" "local_path" "projects_root"] "Waiting for the repository[ {git_url}]: cloning is switched off";
    SetupCloneFailed "setup_clone_failed" Onboarding "The clone failed." ["git_url" "projects_root" "error"] "Cloning[ {git_url}] failed[: {error}]";
    SetupCloned "setup_cloned" Onboarding "The repository was cloned." ["path" "git_url"] "Repository cloned[ to {path}]";
    SetupLocalPathRecorded "setup_local_path_recorded" Onboarding "The path of the repository was stored." ["local_path"] "Repository path recorded[: {local_path}]";
    SetupDiscoveryStarted "setup_discovery_started" Onboarding "Discovery began." ["path" "model" "prompt" "prompt_version" "timeout_seconds"] "Discovery started[ with {model}]";
    SetupDiscoveryCompleted "setup_discovery_completed" Onboarding "Discovery ended well." ["path" "model"] "Discovery completed";
    SetupDiscoverySkipped "setup_discovery_skipped" Onboarding "Discovery was skipped." ["path" "model" "reason"] "Discovery skipped[: {reason}]";
    SetupDiscoveryWarning "setup_discovery_warning" Onboarding "Discovery failed; set-up goes on." ["path" "model" "error"] "Discovery had a problem[: {error}]";
    SetupAssets "setup_assets" Onboarding "Starter files were made sure of." ["path" "created"] "Starter files in place[, created {created}]";
    SetupWarning "setup_warning" Onboarding "An asset or the git config failed; set-up goes on." ["path" "stage" "error"] "Set-up warning[ in {stage}][: {error}]";
    SetupGitRemote "setup_git_remote" Onboarding "The origin was set." ["path" "origin"] "Origin set[ to {origin}]";
    SetupGitIdentity "setup_git_identity" Onboarding "The commit identity was set." ["user" "email"] "Commit identity set[ to {user} <{email}>]";
    SetupClarifications "setup_clarifications" Onboarding "The set-up questions were stored." ["questions" "blocking"] "Set-up questions recorded";
    SetupBlocked "setup_blocked" Onboarding "Set-up waits: repository, questions or policy." ["questions" "reason"] "Set-up blocked[: {reason}][, open questions: {questions}]";
    SetupCompleted "setup_completed" Onboarding "Set-up ended well." [] "Set-up completed";
    SetupFailed "setup_failed" Onboarding "Set-up failed for good." ["error" "error_category"] "Set-up failed[: {error}]";
    PlanningEnqueued "planning_enqueued" Run "Planning was queued." [] "Planning queued";
    PlanningBlockedClarifications "planning_blocked_clarifications" Run "An open question stops planning." ["project_id" "protocol_run_id" "blocking"] "Planning waits for answers";
    PlanningFailed "planning_failed" Run "Planning failed: engine error, timeout, or a rejected plan." ["error" "error_type" "returncode" "stdout" "stderr"] "Planning failed[: {error}]";
    DecomposeStarted "decompose_started" Run "Refinement of the step files began." ["steps" "model"] "Refining steps[: {steps}][ with {model}]";
    DecomposeCompleted "decompose_completed" Run "Refinement of the step files ended." ["model" "steps_decomposed" "steps_skipped" "estimated_tokens"] "Steps refined[: {steps_decomposed}][; left as they are: {steps_skipped}]";
    Planned "planned" Run "The plan is written and valid." ["steps_created" "steps_removed" "protocol_root" "models" "prompt_versions" "estimated_tokens" "spec_validated"] "Planned[: {steps_created} step(s)][ in {protocol_root}]";
    PolicyAutofix "policy_autofix" Policy "Missing required headings were inserted." ["files" "mode"] "Required headings added[ to {files}]";
    PolicyFindings "policy_findings" Policy "The policy has something to say." ["findings" "scope"] "Policy findings[ for the {scope}]";
    PolicyBlocked "policy_blocked" Policy "A finding blocks, or the policy cannot be resolved." ["blocking_findings" "reason"] "Blocked by policy[: {reason}]";
    SpecValidationError "spec_validation_error" Run "One error of a spec." ["protocol_root" "step" "error"] "Spec error[: {error}]";
    SpecAudit "spec_audit" Audit "The spec of a run was audited." ["protocol_run_id" "protocol_name" "project_id" "project_name" "errors" "backfilled" "workspace" "protocol_root"] "Spec audited[: {protocol_name}]";
    Paused "paused" Run "A person paused the run." ["reason"] "Paused[: {reason}]";
    Resumed "resumed" Run "A person resumed the run." ["reason" "to"] "Resumed[, {to} again][: {reason}]";
    Cancelled "cancelled" Run "A person cancelled the run." ["reason"] "Cancelled[: {reason}]";
    StepEnqueued "step_enqueued" Step "A step was queued." ["source"] "Step[ {step_name}] queued[ by {source}]";
    StepRetryEnqueued "step_retry_enqueued" Step "A step was queued again." ["retries"] "Step[ {step_name}] queued again[, retry {retries}]";
    StepStuckWatchdog "step_stuck_watchdog" Step "A running step has had no live lease for too long." ["age_seconds" "threshold_seconds"] "Step[ {step_name}] was stuck[ for {age_seconds} s] and is given up";
    StepBlockedClarifications "step_blocked_clarifications" Step "An open question stops the step." ["ids" "blocking"] "Step[ {step_name}] waits for answers";
    StepBlocked "step_blocked" Step "Engine, repository or budget is absent." ["reason" "engine_id" "detail"] "Step[ {step_name}] blocked[: {reason}][ ({detail})]";
    StepStarted "step_started" Step "The engine is about to be called." ["engine_id" "model" "fallback_of" "attempt" "prompt_path" "prompt_versions" "agent_id"] "Step[ {step_name}] started[ with {engine_id}][, model {model}][, attempt {attempt}]";
    StepCompleted "step_completed" Step "Execution is done." ["protocol_run_id" "step_run_id" "estimated_tokens" "tokens" "outputs" "prompt_versions" "prompt_path" "engine_id" "model" "spec_validated" "agent_id" "sha" "no_change"] "Step[ {step_name}] executed[ by {engine_id}][, commit {sha}]";
    StepExecutionFailed "step_execution_failed" Step "The engine is missing or failed for good." ["error" "error_type" "engine_id" "model" "attempts"] "Step[ {step_name}] failed[: {error}][ (after {attempts} attempt(s))]";
    StepReset "step_reset" Loop "A loop put the step back." ["module_id" "from"] "Step[ {step_name}] reset[ from {from}][ by {module_id}]";
    CodemachineStepCompleted "codemachine_step_completed" Step "A CodeMachine step was executed." ["protocol_run_id" "step_run_id" "estimated_tokens" "tokens" "outputs" "prompt_versions" "prompt_path" "engine_id" "model" "spec_validated" "agent_id" "sha" "no_change"] "Agent step[ {step_name}] executed[ as {agent_id}]";
    CodemachineStepFailed "codemachine_step_failed" Step "A CodeMachine step failed." ["template" "error"] "Agent step[ {step_name}] failed[: {error}]";
    CodemachineImportEnqueued "codemachine_import_enqueued" Run "An import was queued." ["workspace"] "Import queued[: {workspace}]";
    CodemachineImported "codemachine_imported" Run "A CodeMachine workspace was imported." ["workspace" "steps_created" "template" "spec_validated" "warnings"] "Workspace imported[: {steps_created} step(s)]";
    CodemachineImportFailed "codemachine_import_failed" Run "An import failed." ["workspace" "error"] "Import failed[: {error}]";
    QaEnqueued "qa_enqueued" Qa "QA was queued." ["source" "provider"] "QA[ of {step_name}] queued[ by {source}]";
    QaSkippedPolicy "qa_skipped_policy" Qa "The policy asks for no QA." ["policy"] "QA[ of {step_name}] skipped by policy";
    QaBlockedClarifications "qa_blocked_clarifications" Qa "An open question stops QA." ["ids" "blocking"] "QA[ of {step_name}] waits for answers";
    QaBlockedRepo "qa_blocked_repo" Qa "QA found no repository." ["git_url"] "QA[ of {step_name}] blocked: the repository is missing";
    QaPassed "qa_passed" Qa "Full QA judged PASS." ["protocol_run_id" "step_run_id" "verdict_line" "report_path" "estimated_tokens" "prompt_versions" "model"] "QA[ of {step_name}] passed[, report {report_path}]";
    QaFailed "qa_failed" Qa "Full QA judged FAIL, or gave no exact verdict." ["protocol_run_id" "step_run_id" "verdict_line" "why" "report_path" "estimated_tokens" "prompt_versions" "model"] "QA[ of {step_name}] failed[: {why}][, report {report_path}]";
    QaPassedInline "qa_passed_inline" Qa "Light QA judged PASS." ["protocol_run_id" "step_run_id" "estimated_tokens" "tokens" "outputs" "prompt_versions" "prompt_path" "engine_id" "model" "spec_validated" "agent_id" "sha" "verdict_line" "report_path" "qa_engine_id" "qa_model"] "Light QA[ of {step_name}] passed";
    QaFailedInline "qa_failed_inline" Qa "Light QA judged FAIL, or gave no exact verdict." ["protocol_run_id" "step_run_id" "estimated_tokens" "tokens" "outputs" "prompt_versions" "prompt_path" "engine_id" "model" "spec_validated" "agent_id" "sha" "verdict_line" "why" "report_path" "qa_engine_id" "qa_model"] "Light QA[ of {step_name}] failed[: {why}]";
    QaError "qa_error" Qa "QA could not be carried out." ["engine_id" "error" "error_type"] "QA[ of {step_name}] could not be carried out[: {error}]";
    QaInlineError "qa_inline_error" Qa "Light QA could not be carried out." ["engine_id" "error" "error_type"] "Light QA[ of {step_name}] could not be carried out[: {error}]";
    ManualApproval "manual_approval" Qa "A person approved a step." ["note" "from"] "Step[ {step_name}] approved[ by {actor}][: {note}]";
    ProtocolCompleted "protocol_completed" Run "The run is complete." ["by"] "Run completed[ by {by}]";
    LoopDecision "loop_decision" Loop "A loop sends the run back." ["policy" "runtime_state" "target_step_index" "steps_reset" "iterations" "max_iterations" "reason"] "Looping back[ to step {target_step_index}][ after {reason}][, round {iterations} of {max_iterations}]";
    LoopLimitReached "loop_limit_reached" Loop "A loop has used up its rounds." ["policy" "iterations" "max_iterations" "reason"] "Loop limit reached[: {iterations} of {max_iterations}]";
    LoopConditionSkipped "loop_condition_skipped" Loop "The condition of a loop does not hold." ["policy" "reason" "conditions"] "Loop not taken: its condition does not cover this[: {reason}]";
    TriggerDecision "trigger_decision" Trigger "A trigger fires." ["policy" "reason" "target_step_index" "target_step_id" "inline_depth"] "Trigger fires[ for step {target_step_index}][ after {reason}]";
    TriggerConditionSkipped "trigger_condition_skipped" Trigger "The condition of a trigger does not hold." ["policy" "reason" "conditions"] "Trigger not fired: its condition does not cover this[: {reason}]";
    TriggerMissingTarget "trigger_missing_target" Trigger "The target of a trigger does not exist." ["policy" "reason"] "Trigger has no such target";
    TriggerSkipped "trigger_skipped" Trigger "The target of a trigger is done or at work." ["policy" "reason" "target_step_index" "target_step_id" "target_status"] "Trigger skipped[: its target is {target_status}]";
    TriggerEnqueued "trigger_enqueued" Trigger "A triggered step was queued." ["target_step_id" "source" "inline_depth"] "Step[ {step_name}] queued by a trigger";
    TriggerEnqueueFailed "trigger_enqueue_failed" Trigger "A triggered step could not be queued." ["target_step_id" "source" "inline_depth" "error"] "Step[ {step_name}] could not be queued by a trigger[: {error}]";
    TriggerPending "trigger_pending" Trigger "A triggered step waits for a paused run or another step." ["target_step_id" "source" "inline_depth"] "Step[ {step_name}] is triggered and waits its turn";
    TriggerInlineDepthExceeded "trigger_inline_depth_exceeded" Trigger "A chain of triggers is too long." ["target_step_id" "source" "inline_depth"] "Trigger chain too long[: depth {inline_depth}]";
    RepoMissing "repo_missing" Git "The repository is not there." ["git_url" "resolved_path" "error"] "Repository missing[: {resolved_path}][ ({error})]";
    RepoCloneFailed "repo_clone_failed" Git "The repository could not be cloned." ["git_url" "resolved_path" "error"] "Cloning[ {git_url}] failed[: {error}]";
    OpenPrEnqueued "open_pr_enqueued" Git "A push (and PR/MR) was queued." ["branch" "error"] "Push queued[: {branch}][, the last one failed: {error}]";
    OpenPr "open_pr" Git "The branch was pushed, or its PR/MR opened." ["branch" "pr_number" "pr_url" "sha"] "Branch pushed[: {branch}][, PR/MR {pr_url}]";
    OpenPrSkipped "open_pr_skipped" Git "Nothing was pushed, or no PR/MR opened." ["git_url" "branch" "reason"] "Nothing opened[: {reason}]";
    OpenPrFailed "open_pr_failed" Git "Push or PR/MR failed." ["branch" "error"] "Push[ of {branch}] failed[: {error}]";
    OpenPrBranchExists "open_pr_branch_exists" Git "A PR/MR for the branch was there already." ["branch" "pr_number" "pr_url"] "PR/MR[ for {branch}] was there already[: {pr_url}]";
    CiTriggered "ci_triggered" Ci "CI was asked to run." ["branch" "provider"] "CI started[ on {branch}]";
    BranchCreated "branch_created" Git "A branch was created." ["project_id" "branch"] "Branch created[: {branch}]";
    BranchDeleted "branch_deleted" Git "A branch was deleted." ["project_id" "branch"] "Branch deleted[: {branch}]";
    BranchDeleteFailed "branch_delete_failed" Git "A branch could not be deleted." ["project_id" "branch" "error"] "Branch[ {branch}] could not be deleted[: {error}]";
    WebhookReceived "webhook_received" Ci "A webhook was accepted and mapped." ["provider" "kind" "delivery_id" "pr_number" "conclusion" "status" "action" "check_name" "branch" "sha" "attempt" "signed"] "Webhook received[: {provider} {kind}][ {check_name}][ {conclusion}]";
    WebhookIgnored "webhook_ignored" Ci "A webhook was set aside." ["provider" "kind" "delivery_id" "reason"] "Webhook ignored[: {reason}]";
    CiPassed "ci_passed" Ci "The required checks are green." ["sha" "checks"] "CI passed[ at {sha}]";
    CiFailed "ci_failed" Ci "The required checks are red." ["sha" "checks"] "CI failed[ at {sha}]";
    FixCiSpawned "fix_ci_spawned" Ci "A run that repairs CI was created." ["run_id" "template"] "Repair run created[: {run_id}]";
    ReviewSpawned "review_spawned" Ci "A run that reviews a PR/MR was created." ["run_id" "template"] "Review run created[: {run_id}]";
    PrMerged "pr_merged" Git "The PR was merged." ["pr_number" "sha"] "PR[ #{pr_number}] merged";
    MrMerged "mr_merged" Git "The MR was merged." ["pr_number" "sha"] "MR[ !{pr_number}] merged";
    PrClosed "pr_closed" Git "The PR was closed without a merge." ["pr_number" "sha"] "PR[ #{pr_number}] closed without a merge";
    MrClosed "mr_closed" Git "The MR was closed without a merge." ["pr_number" "sha"] "MR[ !{pr_number}] closed without a merge";
    BudgetWarning "budget_warning" Budget "A budget is nearly used up, or passed in warn mode." ["scope" "mode" "used" "reserved" "estimated" "limit"] "Budget warning[ for the {scope}][: {used} of {limit} used]";
    BudgetExceeded "budget_exceeded" Budget "A strict budget refused a call." ["scope" "mode" "used" "reserved" "estimated" "limit"] "Budget exceeded[ for the {scope}][: {used} of {limit} used]";
    ModelFallback "model_fallback" Budget "The next model is taken." ["from" "to" "error_category"] "Falling back[ from {from}][ to {to}]";
    JobRetryScheduled "job_retry_scheduled" Job "A job failed and is tried again." ["attempt" "delay_seconds" "error_category" "error_type" "error" "job_type"] "Trying again[ in {delay_seconds} s][ after attempt {attempt}][: {error}]";
    JobFailed "job_failed" Job "A job gave up for good." ["error_type" "error_category" "error" "attempts" "job_type"] "Job failed for good[ after {attempts} attempt(s)][: {error}]";
    UnknownJob "unknown_job" Job "A job of an unknown type was found." ["job_type"] "Unknown kind of job[: {job_type}]";
    TokenCreated "token_created" Audit "An access token was created." ["name" "scope"] "Token created[: {name}]";
    TokenRevoked "token_revoked" Audit "An access token was revoked." ["name" "scope"] "Token revoked[: {name}]";
    WorkerChanged "worker_changed" Audit "A worker was switched over." ["worker" "from" "to"] "Worker[ {worker}] changed[ from {from}][ to {to}]";
    SandboxOff "sandbox_off" Run "Addition: the engines of a run work without a sandbox, by request." ["reason" "asked_by"] "The engines of this run work WITHOUT a sandbox[: {reason}]";
}
