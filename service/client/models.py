"""Models: which there are, and one's own."""

from __future__ import annotations

from urllib.parse import quote

from service.client.calls import Calls
from service.schemas import ModelDetailSchema, ModelListSchema, ModelSchema


class ModelCalls(Calls):
    """What `PhotositeClient` does with models."""

    def models(self) -> list[ModelSchema]:
        """All versions of all models that one may use, by name, oldest version first."""
        return self._connection.fetch(ModelListSchema, "GET", "/models").models

    def model(self, name: str) -> ModelDetailSchema:
        """One model and its whole manifest.

        Args:
            name: NAME for its newest version, or NAME@VERSION.

        Raises:
            NotFoundError: There is none.
        """
        return self._connection.fetch(ModelDetailSchema, "GET", _model_path(name))

    def set_default_model(self, name: str) -> ModelSchema:
        """Use a model wherever a request of one's own names none.

        Args:
            name: NAME for whichever version is the newest, or NAME@VERSION.

        Raises:
            NotFoundError: There is none.
        """
        return self._connection.fetch(ModelSchema, "PUT", f"{_model_path(name)}/default")

    def delete_model(self, name: str) -> None:
        """Delete a model of one's own.

        Args:
            name: NAME for all its versions, or NAME@VERSION.

        Raises:
            NotFoundError: There is none.
            PermissionDeniedError: It is not one's own.
            ConflictError: It is the default, or a job that is not finished needs it.
        """
        with self._connection.open("DELETE", _model_path(name), whole=True):
            pass


def _model_path(name: str) -> str:
    return f"/models/{quote(name, safe='@')}"
