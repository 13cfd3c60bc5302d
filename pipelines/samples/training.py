"""A small training pipeline: data, a model for each candidate, the best one evaluated, a gate, a report.

The data (569 tumours, benign or malignant) comes with scikit-learn, so nothing is fetched but packages.
"""

from typing import NamedTuple

from kfp import compiler, dsl
from kfp.dsl import HTML, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Model, Output

PACKAGES = ["scikit-learn>=1.6,<2"]


@dsl.component(base_image="python:3.11", packages_to_install=PACKAGES)
def load_data(test_share: float, seed: int, train: Output[Dataset], test: Output[Dataset]) -> int:
    """Splits the data into one part to learn from and one to judge by; returns the number of rows."""
    import csv

    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer()
    names = [*(name.replace(" ", "_") for name in data.feature_names), "benign"]
    rows = [[*(round(float(value), 5) for value in row), int(label)] for row, label in zip(data.data, data.target)]
    parts = train_test_split(rows, test_size=test_share, random_state=seed, stratify=data.target)
    for artifact, part in zip((train, test), parts):
        with open(artifact.path, "w", newline="") as file:
            csv.writer(file).writerows([names, *part])
        artifact.metadata["rows"] = len(part)
        print(f"{artifact.name}: {len(part)} rows with {len(names) - 1} features")
    return len(rows)


@dsl.component(base_image="python:3.11", packages_to_install=PACKAGES)
def train_model(candidate: dict, seed: int, train: Input[Dataset], model: Output[Model], metrics: Output[Metrics]) -> float:
    """Trains one candidate; returns its mean accuracy in a cross-validation of five folds."""
    import csv
    import pickle

    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with open(train.path) as file:
        rows = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
    features, labels = [row[:-1] for row in rows], [int(row[-1]) for row in rows]

    settings = {key: int(value) if key != "strength" else float(value) for key, value in candidate.items() if key != "kind"}
    if candidate["kind"] == "logistic":
        estimator = LogisticRegression(C=settings["strength"], max_iter=2000)
    elif candidate["kind"] == "forest":
        estimator = RandomForestClassifier(n_estimators=settings["trees"], max_depth=settings["depth"], random_state=seed)
    else:
        estimator = KNeighborsClassifier(n_neighbors=settings["neighbours"])

    fitted = make_pipeline(StandardScaler(), estimator)
    scores = cross_val_score(fitted, features, labels, cv=5)
    for fold, score in enumerate(scores, start=1):
        print(f"fold {fold}: accuracy {score:.4f}")
    fitted.fit(features, labels)
    with open(model.path, "wb") as file:
        pickle.dump(fitted, file)

    mean = float(scores.mean())
    title = ", ".join(f"{key} {value}" for key, value in candidate.items())
    model.framework = "scikit-learn"
    model.metadata.update({"candidate": title, "accuracy": round(mean, 4)})
    metrics.log_metric("accuracy", round(mean, 4))
    metrics.log_metric("spread", round(float(scores.std()), 4))
    return mean


@dsl.component(base_image="python:3.11")
def choose_best(models: Input[list[Model]], best: Output[Model]) -> str:
    """Copies the most accurate model; returns what it is."""
    import shutil

    ranked = sorted(models, key=lambda model: model.metadata["accuracy"], reverse=True)
    for model in ranked:
        print(f"{model.metadata['accuracy']:.4f}  {model.metadata['candidate']}")
    shutil.copyfile(ranked[0].path, best.path)
    best.framework = ranked[0].metadata.get("framework", "scikit-learn")
    best.metadata.update({key: ranked[0].metadata[key] for key in ("candidate", "accuracy")})
    return ranked[0].metadata["candidate"]


@dsl.component(base_image="python:3.11", packages_to_install=PACKAGES)
def evaluate(
    model: Input[Model], test: Input[Dataset], metrics: Output[Metrics], curves: Output[ClassificationMetrics]
) -> NamedTuple("Scores", [("accuracy", float), ("auc", float)]):
    """Judges the model by data that it has not seen."""
    import csv
    import pickle
    from collections import namedtuple

    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score, roc_curve

    with open(test.path) as file:
        rows = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
    features, labels = [row[:-1] for row in rows], [int(row[-1]) for row in rows]
    with open(model.path, "rb") as file:
        fitted = pickle.load(file)
    chances = [float(pair[1]) for pair in fitted.predict_proba(features)]
    guesses = [int(chance >= 0.5) for chance in chances]

    accuracy, auc = float(accuracy_score(labels, guesses)), float(roc_auc_score(labels, chances))
    metrics.log_metric("accuracy", round(accuracy, 4))
    metrics.log_metric("auc", round(auc, 4))
    metrics.log_metric("f1", round(float(f1_score(labels, guesses)), 4))

    false_rate, true_rate, thresholds = roc_curve(labels, chances)
    finite = [min(float(threshold), 1.0) for threshold in thresholds]  # the first one is infinite, which is no JSON
    curves.log_roc_curve(false_rate.tolist(), true_rate.tolist(), finite)
    curves.log_confusion_matrix(["malignant", "benign"], confusion_matrix(labels, guesses).tolist())
    print(f"accuracy {accuracy:.4f}, area under the curve {auc:.4f} on {len(rows)} rows")
    return namedtuple("Scores", ["accuracy", "auc"])(accuracy, auc)


@dsl.component(base_image="python:3.11")
def publish(model: Input[Model], accuracy: float) -> str:
    """Stands for whatever puts a model into service."""
    import hashlib
    import pathlib

    data = pathlib.Path(model.path).read_bytes()
    name = f"tumours-{hashlib.sha256(data).hexdigest()[:8]}"
    print(f"{model.metadata['candidate']}: published as {name} ({len(data):,} bytes, accuracy {accuracy:.4f})")
    return name


@dsl.component(base_image="python:3.11")
def hold_back(accuracy: float, required: float) -> str:
    """Says why nothing was published."""
    reason = f"accuracy {accuracy:.4f} is below the required {required:.4f}"
    print(reason)
    return reason


@dsl.component(base_image="python:3.11")
def write_report(
    rows: int,
    winner: str,
    accuracy: float,
    auc: float,
    required: float,
    models: Input[list[Model]],
    page: Output[HTML],
    summary: Output[Markdown],
):
    """A page with one bar for each candidate, and a short summary."""
    import html

    ranked = sorted(models, key=lambda model: model.metadata["accuracy"], reverse=True)
    bars = "".join(
        f"<tr><td>{html.escape(model.metadata['candidate'])}</td>"
        f"<td><meter min='0.8' max='1' value='{model.metadata['accuracy']}'></meter></td>"
        f"<td>{model.metadata['accuracy']:.4f}</td></tr>"
        for model in ranked
    )
    with open(page.path, "w") as file:
        file.write(
            "<!doctype html><meta charset='utf-8'><title>Candidates</title>"
            "<style>body{font:15px system-ui;margin:2em}td{padding:.3em 1em .3em 0}meter{width:16em}</style>"
            f"<h1>Candidates</h1><p>Mean accuracy in cross-validation.</p><table>{bars}</table>"
        )
    verdict = "published" if accuracy >= required else "held back"
    with open(summary.path, "w") as file:
        file.write(
            f"# {winner}\n\nThe best of {len(ranked)} candidates, **{verdict}**.\n\n"
            f"| | |\n| --- | --- |\n| Rows | {rows} |\n| Accuracy | {accuracy:.4f} |\n"
            f"| Area under the curve | {auc:.4f} |\n| Required accuracy | {required:.4f} |\n"
        )


@dsl.pipeline(
    name="train-and-publish", description="Trains a few candidates, evaluates the best and publishes it if it is good enough."
)
def training(
    candidates: list[dict] = [
        {"kind": "logistic", "strength": 0.1},
        {"kind": "logistic", "strength": 1.0},
        {"kind": "forest", "trees": 60, "depth": 6},
        {"kind": "neighbours", "neighbours": 7},
    ],
    required_accuracy: float = 0.9,
    test_share: float = 0.3,
    seed: int = 7,
):
    """The pipeline.

    Args:
        candidates: What to train; each has a kind (logistic, forest or neighbours) and its settings.
        required_accuracy: The model is published if it reaches this on the test data.
        test_share: Share of the rows that is kept for the test.
        seed: Makes the run repeatable.
    """
    data = load_data(test_share=test_share, seed=seed)
    with dsl.ParallelFor(candidates, name="candidates") as candidate:
        trained = train_model(candidate=candidate, seed=seed, train=data.outputs["train"])
    best = choose_best(models=dsl.Collected(trained.outputs["model"]))
    scores = evaluate(model=best.outputs["best"], test=data.outputs["test"])
    with dsl.If(scores.outputs["accuracy"] >= required_accuracy, name="good-enough"):
        publish(model=best.outputs["best"], accuracy=scores.outputs["accuracy"])
    with dsl.Else(name="not-good-enough"):
        hold_back(accuracy=scores.outputs["accuracy"], required=required_accuracy)
    write_report(
        rows=data.outputs["Output"],
        winner=best.outputs["Output"],
        accuracy=scores.outputs["accuracy"],
        auc=scores.outputs["auc"],
        required=required_accuracy,
        models=dsl.Collected(trained.outputs["model"]),
    ).set_display_name("report")


if __name__ == "__main__":
    compiler.Compiler().compile(training, __file__.replace(".py", ".yaml"))
