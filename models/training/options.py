"""Command line options that both training commands share."""

import torch


def add_run_options(parser, out, steps, tokens, lr, adamw_lr):
    parser.add_argument("--data", default="data", help="folder that training.build_data wrote")
    parser.add_argument(
        "--out", default=out, help="the run: weights, optimizers and step; its log is OUT.jsonl"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--steps", type=int, default=steps, help="of the whole schedule")
    parser.add_argument("--until", type=int, help="stop after this step; --resume continues")
    parser.add_argument("--tokens", type=int, default=tokens, help="per step")
    parser.add_argument("--lr", type=float, default=lr, help="Muon's")
    parser.add_argument("--adamw-lr", type=float, default=adamw_lr)
    parser.add_argument("--warmup", type=int, help="steps")
    parser.add_argument("--decay-from", type=float, help="fraction of the steps after which rates fall")
    parser.add_argument(
        "--quantized-at", type=float, help="fraction of the steps before weights are quantised"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report-every", type=int, default=20, help="steps")
    parser.add_argument("--save-every", type=int, default=100, help="steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)


def start_torch(arguments):
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
